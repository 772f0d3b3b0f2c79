"""A small churn table, a spec for it, and a dataset version of it that the tests on a cluster share."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_ray.data import ingest
from mlops_ray.model import encode
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.tracking import CodeVersion
from mlops_ray.train import TrialContext
from mlops_ray.train.training_data import TrainingData, prepare

CODE = CodeVersion("c" * 40, False, "d" * 64, "3.11", {"numpy": "2"})
DATA: dict[str, Any] = {
    "source": "/raw",
    "table": "tests.churn",
    "label": "churned",
    "unit": "customer",
    "timestamp": "at",
    "features": {
        "tenure": "int",
        "charges": {"type": "float", "max_null_share": 0.5},
        "autopay": "bool",
        "plan": "category",
    },
}
TRAIN: dict[str, Any] = {
    "space": {"num_leaves": {"int_uniform": [4, 8]}, "learning_rate": {"log_uniform": [0.1, 0.3]}},
    "trials": 3,
    "max_iterations": 15,
    "resources": {"cpus": 1},
    "seed": 3,
}


def spec_of(name: str = "churn", *, data: Mapping[str, Any] | None = None, **sections: Any) -> ModelSpec:
    """The tests' spec; `train` changes keys of the section, other sections are taken as they are."""
    train = TRAIN | sections.pop("train", {})
    return ModelSpec.model_validate({"name": name, "data": DATA | dict(data or {}), "train": train, **sections})


def churn_table(rows: int = 600) -> pa.Table:
    """Customers whose leaving depends on tenure, charges and plan; some labels are not known yet."""
    generator = np.random.default_rng(11)
    tenure = generator.integers(0, 72, rows)
    charges = generator.normal(60, 20, rows)
    plan = generator.choice(["basic", "pro", "team"], rows)
    raw = 2.0 - tenure / 15 + (charges - 60) / 25 + (plan == "basic") + generator.normal(0, 0.7, rows)
    churned = pa.array((raw > 0).astype(np.int64), mask=np.arange(rows) % 40 == 0)
    return pa.table(
        {
            "customer": [f"c{i % (rows // 2)}" for i in range(rows)],
            "at": pa.array(1_700_000_000_000_000 + np.arange(rows) * 1_000_000, pa.timestamp("us", tz="UTC")),
            "tenure": tenure,
            "charges": pa.array(charges, mask=np.arange(rows) % 10 == 0),
            "autopay": generator.random(rows) > 0.5,
            "plan": plan,
            "churned": churned,
        }
    )


@pytest.fixture(scope="session")
def prepared() -> TrainingData:
    """`churn_table` prepared by the tests' spec."""
    return prepare(spec_of(), churn_table())


@pytest.fixture
def context_of(prepared: TrainingData) -> Callable[..., TrialContext]:
    """Makes the context of one trial on `prepared`; reports go to the list it is given."""

    def make(reports: list[tuple[int, dict[str, float]]] | None = None, **changes: Any) -> TrialContext:
        noted: list[tuple[int, dict[str, float]]] = [] if reports is None else reports
        fields: dict[str, Any] = {
            "params": {},
            "task": "binary",
            "metric": "auc",
            "maximize": True,
            "seed": 1,
            "max_iterations": 30,
            "threads": 1,
            "device": "cpu",
            "x_train": prepared.train.x,
            "y_train": prepared.train.y,
            "x_valid": prepared.valid.x,
            "y_valid": prepared.valid.y,
            "categorical": prepared.signature.categorical,
            "signature": prepared.signature,
            "report": lambda iteration, metrics: noted.append((iteration, dict(metrics))),
            "checkpoint": lambda iteration, metrics, _: noted.append((iteration, dict(metrics))),
        }
        return TrialContext(**fields | changes)

    return make


@pytest.fixture(scope="session")
def trained_workspace(ray_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with version 1 of the table; every test uses a model name of its own in it."""
    folder: Path = tmp_path_factory.mktemp("train")
    (folder / "raw").mkdir()
    pq.write_table(churn_table(), folder / "raw" / "1.parquet")
    workspace = Workspace.at(folder / "home")
    ingest(spec_of(data={"source": str(folder / "raw")}), workspace, now_s=1.0, run_id="r")
    return workspace


def encoded(data: TrainingData, table: pa.Table) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The rows of a table as `data`'s model takes them."""
    return encode(data.signature, table)
