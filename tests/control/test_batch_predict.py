from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_ray.control.batch_predict import batch_predict
from mlops_ray.drift import Column, build_reference
from mlops_ray.errors import NotFoundError, SchemaError, SourceError
from mlops_ray.lake import Lake
from mlops_ray.model import InputColumn, Signature, TrainedModel, load_bundle, publish_bundle, write_bundle
from mlops_ray.store import Stage, Store
from tests.control.world import put_version, version
from tests.serve.samples import booster

pytestmark = pytest.mark.slow
SIGNATURE = Signature(
    tuple(InputColumn(name, "float", False) for name in ("amount", "visits", "member", "plan")), "binary"
)


@pytest.fixture
def champion(tmp_path: Path) -> Store:
    """A store whose model "toy" has a champion with a real bundle."""
    matrix = np.random.default_rng(0).random((200, 4))
    reference = build_reference(
        [*SIGNATURE.columns(), Column("prediction", "numeric", ())], np.c_[matrix, matrix[:, 0]]
    )
    model = TrainedModel("lightgbm", {"model.lgb.txt": booster(3).model_to_string().encode()})
    manifest = write_bundle(tmp_path / "bundle", model=model, signature=SIGNATURE, reference=reference, card="")
    uri = publish_bundle(tmp_path / "bundle", Lake(str(tmp_path / "lake")), "toy")
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    store.create()
    put_version(store, version(1, bundle_uri=uri, digest=manifest.digest, stage=Stage.CHAMPION))
    return store


def write(folder: Path, **columns: np.ndarray) -> str:
    folder.mkdir()
    pq.write_table(pa.table(columns), folder / "1.parquet")
    return str(folder)


def test_a_folder_of_parquet_is_scored_like_the_champion_itself_does(
    ray_cluster: str, champion: Store, tmp_path: Path
) -> None:
    assert ray_cluster
    rows = {name: np.random.default_rng(1).random(500) for name in SIGNATURE.names}
    source = write(tmp_path / "in", customer=np.arange(500), **rows)
    done = batch_predict(champion, "toy", source=source, output=str(tmp_path / "out"))
    assert (done.version, done.rows) == (1, 500)
    scored = pq.read_table(tmp_path / "out").sort_by("customer")
    own = load_bundle(champion.model_version("toy", 1).bundle_uri).predictor.predict(
        np.column_stack(list(rows.values()))
    )
    np.testing.assert_array_equal(scored["score"].to_numpy(), own)
    np.testing.assert_array_equal(scored["label"].to_numpy(), own >= 0.5)


def test_what_cannot_be_scored_is_named_before_anything_is_written(
    ray_cluster: str, champion: Store, tmp_path: Path
) -> None:
    assert ray_cluster
    output = tmp_path / "out"
    source = write(tmp_path / "in", amount=np.zeros(3))
    with pytest.raises(SchemaError, match="column 'visits' of the model is missing; found amount"):
        batch_predict(champion, "toy", source=source, output=str(output))
    with pytest.raises(SourceError, match="nowhere"):
        batch_predict(champion, "toy", source=str(tmp_path / "nowhere"), output=str(output))
    with pytest.raises(NotFoundError, match="no champion"):
        batch_predict(champion, "other", source=source, output=str(output))
    assert not output.exists()
