"""Real pictures go the way of a user's own: Parquet, a short spec, three commands, and a photograph over HTTP."""

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import requests

from mlops_ray.spec import Workspace
from mlops_ray.store import Store
from tests.cli.command import mlops_ray
from tests.e2e.toy import Toy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SPEC = Path(__file__).with_name("cifar.yaml")
PICTURES = Path(__file__).parents[3] / "shared" / "data" / "cifar10-sample"


@pytest.fixture
def folder(tmp_path: Path, live: Workspace) -> Iterator[Path]:
    """A folder with the spec and the pictures; the model is taken away at the end."""
    if not PICTURES.exists():
        pytest.skip(f"the data is not here: {PICTURES}")
    shutil.copy(SPEC, tmp_path)
    (tmp_path / "cifar").mkdir()
    for name in ("train", "test"):
        pq.write_table(_named(pq.read_table(PICTURES / f"{name}.parquet")), tmp_path / "cifar" / f"{name}.parquet")
    yield tmp_path
    if Store(live.store).route("cifar") is not None:
        Toy(live, "cifar").retire()


def _named(table: pa.Table) -> pa.Table:
    """The pictures, and what is on them: of a name such as train/truck/0770.jpg the folder."""
    return table.select(["image"]).append_column("thing", pc.list_element(pc.split_pattern(table["name"], "/"), 1))


def test_real_pictures_become_a_model_that_names_them_over_http(folder: Path, live: Workspace) -> None:
    ingested = mlops_ray("ingest", "cifar.yaml", cwd=folder, home=live.home)
    assert ingested.code == 0, ingested.err
    assert ingested.answer["version"]["rows"] == 12_000
    assert ingested.answer["version"]["quarantined_rows"] == 0

    trained = mlops_ray("train", "cifar.yaml", cwd=folder, home=live.home, timeout_s=1500)
    assert trained.code == 0, trained.err
    assert trained.answer["verdict"] == "PASS"
    assert trained.answer["dataset"] == ingested.answer["dataset"]
    # 2,000 pictures that no trial saw
    assert trained.answer["metrics"]["accuracy"] >= 0.55

    deployed = mlops_ray("deploy", "cifar.yaml", cwd=folder, home=live.home)
    assert deployed.code == 0, deployed.err
    assert deployed.answer["phase"] == "COMPLETED"

    pictures = pq.read_table(folder / "cifar" / "test.parquet").take(pa.array(range(0, 2000, 40))).to_pylist()
    records = [{"image": base64.b64encode(picture["image"]).decode()} for picture in pictures]
    response = requests.post(f"{live.serve}/v2/models/cifar/predict", json={"records": records}, timeout=60)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["model_version"], answer["role"]) == ("1", "champion")
    right = [found["label"] == picture["thing"] for found, picture in zip(answer["predictions"], pictures, strict=True)]
    assert sum(right) >= 25
    for found in answer["predictions"]:
        assert found["score"] == max(found["scores"].values()) == found["scores"][found["label"]]
        assert sum(found["scores"].values()) == pytest.approx(1)
