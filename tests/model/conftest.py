"""A small trained model of every flavor, and the parts of a bundle."""

import json
from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_ray.drift import ReferenceProfile, build_reference
from mlops_ray.model import InputColumn, Manifest, Signature, TrainedModel, write_bundle

SIGNATURE = Signature(
    inputs=(
        InputColumn("tenure", "int", nullable=False),
        InputColumn("charges", "float", nullable=True),
        InputColumn("paperless", "bool", nullable=True),
        InputColumn("contract", "category", nullable=True, categories=("monthly", "one year", "two year")),
    ),
    task="binary",
    unit="customer",
)


class Doubler:
    """A user's own predictor: twice the first input, by a factor read from a file of the bundle."""

    def __init__(self, folder: Path) -> None:
        self.factor = float((folder / "weights" / "factor.txt").read_text())

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        return matrix[:, 0] * self.factor


def sample(rows: int = 400) -> NDArray[np.float64]:
    """Encoded rows of SIGNATURE, some cells missing."""
    generator = np.random.default_rng(7)
    matrix = np.column_stack(
        [
            generator.integers(0, 72, rows).astype(float),
            generator.normal(60, 20, rows),
            generator.integers(0, 2, rows).astype(float),
            generator.integers(0, 4, rows).astype(float),
        ]
    )
    matrix[::9, 1] = np.nan
    return matrix


@pytest.fixture(scope="session")
def booster() -> lightgbm.Booster:
    matrix = sample()
    labels = (matrix[:, 0] + np.nan_to_num(matrix[:, 1]) / 4 < 50).astype(float)
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1, "deterministic": True, "seed": 1}
    return lightgbm.train(parameters, lightgbm.Dataset(matrix, labels, categorical_feature=[3]), 20)


@pytest.fixture(scope="session")
def reference() -> ReferenceProfile:
    return build_reference(SIGNATURE.columns(), sample())


@pytest.fixture(scope="session")
def lightgbm_model(booster: lightgbm.Booster) -> TrainedModel:
    return TrainedModel("lightgbm", {"model.lgb.txt": booster.model_to_string().encode()})


@pytest.fixture(scope="session")
def python_model() -> TrainedModel:
    description = {"class": "tests.model.conftest:Doubler"}
    return TrainedModel("python", {"predictor.json": json.dumps(description).encode(), "weights/factor.txt": b"2.0"})


@pytest.fixture
def write(tmp_path: Path, reference: ReferenceProfile) -> Callable[[TrainedModel], tuple[Path, Manifest]]:
    """Writes a bundle of a model into a fresh folder."""

    def write_model(model: TrainedModel) -> tuple[Path, Manifest]:
        folder = tmp_path / "bundle"
        return folder, write_bundle(folder, model=model, signature=SIGNATURE, reference=reference, card="# Churn\n")

    return write_model
