"""A real MLflow on a SQLite file, shared by the tests: making its tables takes 2 s."""

import uuid
from pathlib import Path

import pytest

from mlops_ray.tracking import DatasetInput, Tracking

DATASET = DatasetInput("mlops.churn@v2", "ab" * 32, "file:///lake/mlops/churn", {"tenure": "int64", "churned": "bool"})


@pytest.fixture(scope="session")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    folder: Path = tmp_path_factory.mktemp("mlflow")
    return Tracking(f"sqlite:///{folder / 'mlflow.db'}", artifacts=(folder / "artifacts").as_uri(), clock=lambda: 5.5)


@pytest.fixture
def sweep(tracking: Tracking) -> str:
    """A running parent run."""
    return tracking.start_sweep(
        "churn", sweep=uuid.uuid4().hex, name="sweep", tags={"seed": "7"}, params={"trials": 3}, dataset=DATASET
    )
