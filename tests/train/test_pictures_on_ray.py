"""Trainings on pictures as a user asks for them, on the session's cluster."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_ray.data import ingest
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import ModelVersionRecord, Store
from mlops_ray.train import reproduce_version, run_training
from mlops_ray.train.picture_stream import PictureStream
from mlops_ray.verdict import Verdict
from tests.train.conftest import CODE
from tests.train.pictures import CLASSES, SHAPE, picture_table, pictures

SPACE = {"width": 8, "learning_rate": 0.02, "batch_size": 32}


def spec_of_pictures(name: str, source: Path | str = "/raw", **train: Any) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": name,
            "data": {
                "source": str(source),
                "table": "tests.bars",
                "label": "bar",
                "classes": list(CLASSES),
                "features": {"picture": {"type": "image", "height": SHAPE[0], "width": SHAPE[1]}},
            },
            "train": {
                "task": "multiclass",
                "trainer": "torchvision",
                "metric": "accuracy",
                "space": SPACE,
                "trials": 1,
                "max_iterations": 8,
                "seed": 3,
                **train,
            },
        }
    )


@pytest.fixture(scope="module")
def bars(ray_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with version 1 of a table of pictures."""
    folder: Path = tmp_path_factory.mktemp("bars")
    (folder / "raw").mkdir()
    files, labels = pictures(450, seed=4)
    names = [CLASSES[int(label)] for label in labels]
    pq.write_table(pa.table({"picture": files, "bar": names}), folder / "raw" / "1.parquet")
    workspace = Workspace.at(folder / "home")
    ingest(spec_of_pictures("bars", folder / "raw"), workspace, now_s=1.0, run_id="r")
    return workspace


def run(spec: ModelSpec, workspace: Workspace) -> ModelVersionRecord:
    return run_training(spec, workspace, actor="test", clock=lambda: 2e9, code=CODE, progress=lambda _: None)


def test_tasks_give_the_same_pictures_as_this_process(ray_cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = picture_table(pictures(60, seed=1)[0])
    order = np.random.default_rng(1).permutation(60)
    told: dict[str, Any] = {"size": 16, "augment": "crop_flip", "seed": 5}
    by_ray = list(PictureStream(table, SHAPE, tasks=2).batches(order, **told))
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    here = list(PictureStream(table, SHAPE, tasks=2).batches(order, **told))
    assert [len(batch) for batch in by_ray] == [16, 16, 16, 12]
    for one, other in zip(by_ray, here, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_sweep_on_pictures_registers_a_model_that_can_be_made_again(bars: Workspace) -> None:
    record = run(spec_of_pictures("again", trials=2), bars)
    assert record.metrics["accuracy"] > 0.8
    assert record.dataset == "tests.bars@v1"
    done = reproduce_version(
        Store(bars.store), bars, "again", 1, code=CODE, actor="test", clock=lambda: 2e9, progress=lambda _: None
    )
    assert (done.verdict, done.bytes_equal) == (Verdict.PASS, True), done.reason


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_workers_train_one_net(bars: Workspace, strategy: str) -> None:
    space = SPACE | {"strategy": strategy}
    record = run(spec_of_pictures(f"two_{strategy}", workers=2, space=space), bars)
    assert record.metrics["accuracy"] > 0.8


@pytest.mark.slow
def test_pictures_that_are_decoded_in_each_epoch_teach_the_same(bars: Workspace) -> None:
    accuracy = [
        run(spec_of_pictures(f"decoded_{how}", space=SPACE | {"decoding": how}, max_iterations=3), bars).metrics
        for how in ("once", "each_epoch")
    ]
    assert accuracy[0] == accuracy[1]
