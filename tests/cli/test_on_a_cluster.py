"""What is refused on a cluster that runs: data that is not fit, an MLflow that is away, a model nobody serves."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_ray.spec import Workspace
from mlops_ray.store import Store
from tests.cli.command import Done, mlops_ray

pytestmark = pytest.mark.slow

SPEC: dict[str, Any] = {
    "name": "orders",
    "data": {"source": "raw", "label": "y", "features": {"a": "float", "b": "int"}},
    "train": {"trials": 1, "max_iterations": 5},
}


def _table(rows: int = 300) -> pa.Table:
    generator = np.random.default_rng(0)
    a = generator.normal(size=rows)
    return pa.table({"a": a, "b": generator.integers(0, 9, rows), "y": (a > 0).astype(np.int64)})


class Desk:
    """A folder with a spec, and a home of its own on the session's cluster, so that every change would show."""

    def __init__(self, folder: Path, live: Workspace) -> None:
        self.folder = folder
        self.raw = folder / "raw"
        self._home = folder / "home"
        self._environment = {"MLOPS_RAY_RAY_ADDRESS": live.ray_address, "MLOPS_RAY_SERVE": live.serve}
        (folder / "orders.yaml").write_text(json.dumps(SPEC))

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None, timeout_s: float = 120) -> Done:
        """Run a command here."""
        changes = self._environment | dict(environment or {})
        return mlops_ray(*arguments, cwd=self.folder, home=self._home, environment=changes, timeout_s=timeout_s)

    def land(self, table: pa.Table) -> Path:
        """Put one file into the source."""
        self.raw.mkdir(exist_ok=True)
        pq.write_table(table, self.raw / "1.parquet")
        return self.raw / "1.parquet"

    def state(self) -> list[str]:
        """Kinds of all events, and the files of the lake."""
        store = Store(f"sqlite:///{self._home / 'store.db'}")
        store.create()
        lake = self._home / "lake"
        files = sorted(str(file.relative_to(lake)) for file in lake.rglob("*") if file.is_file())
        return [*(event.kind for event in store.events()), *files]


@pytest.fixture
def desk(tmp_path: Path, live: Workspace) -> Desk:
    """An empty one."""
    return Desk(tmp_path, live)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, live: Workspace) -> Desk:
    """One with a dataset version."""
    desk = Desk(tmp_path_factory.mktemp("filled"), live)
    desk.land(_table())
    assert desk.run("ingest", "orders.yaml").answer["dataset"] == "mlops.orders@v1"
    return desk


def test_watch_commits_what_is_new_and_once_ends_it(desk: Desk) -> None:
    desk.land(_table())
    answer = desk.run("watch", "orders.yaml", "--once").answer
    assert (answer["dataset"], answer["committed"]) == ("mlops.orders@v1", True)
    assert "dataset.committed" in desk.state()


def _truncated(desk: Desk) -> None:
    file = desk.land(_table())
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def _without_a_column(desk: Desk) -> None:
    desk.land(_table().drop_columns(["b"]))


def _of_another_type(desk: Desk) -> None:
    desk.land(_table().set_column(0, "a", pa.array(["many"] * 300)))


def _missing(desk: Desk) -> None:
    shutil.rmtree(desk.raw, ignore_errors=True)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_truncated, ["1.parquet", "Parquet"]),
        (_without_a_column, ["1.parquet", "'b'"]),
        (_of_another_type, ["1.parquet", "'a'", "string"]),
        (_missing, ["raw"]),
    ],
)
def test_data_that_is_not_fit_is_refused_and_changes_nothing(
    desk: Desk, make: Callable[[Desk], None], words: list[str]
) -> None:
    make(desk)
    message = desk.run("ingest", "orders.yaml").error
    assert [word for word in words if word not in message] == [], message
    assert desk.state() == []


def test_a_training_without_mlflow_is_refused_and_changes_nothing(filled: Desk) -> None:
    before = filled.state()
    away = {"MLOPS_RAY_TRACKING": "http://127.0.0.1:1"}
    message = filled.run("train", "orders.yaml", environment=away).error
    assert "MLflow at http://127.0.0.1:1" in message
    assert filled.state() == before


def test_a_training_on_a_dataset_that_is_not_there_names_those_that_are(filled: Desk) -> None:
    before = filled.state()
    message = filled.run("train", "orders.yaml", "--dataset", "v7").error
    assert "v7" in message
    assert "v1" in message
    assert filled.state() == before


def test_a_model_nobody_serves_is_named(desk: Desk) -> None:
    assert "'nobody'" in desk.run("predict", "nobody", "--records", "{}").error
    assert desk.state() == []


def test_a_delivery_is_refused_on_a_cluster_that_works_for_another_workspace(desk: Desk) -> None:
    assert "works for another workspace" in desk.run("deploy", "orders.yaml").error
    assert desk.state() == []
