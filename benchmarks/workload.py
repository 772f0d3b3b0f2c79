"""What every system under measurement gets: one LightGBM model, the same rows, the same right answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightgbm
import numpy as np
from numpy.typing import NDArray

__all__ = ["NAMES", "Shape", "Workload", "load_booster", "make_workload", "score_of"]

NAMES = [f"f{i}" for i in range(30)]
_TREES = 100
_TRAINING_ROWS = 5_000
_BODIES = 256

# How a system wants its rows: plain records (this engine and the hand-written apps), MLflow's records, bare numbers.
Shape = Literal["records", "dataframe_records", "rows"]


@dataclass(frozen=True)
class Workload:
    """The files of a workload: the model, and rows (256, 30) to ask about with their right scores."""

    folder: Path
    rows: NDArray[np.float64]
    scores: NDArray[np.float64]

    def bodies(self, shape: Shape) -> Path:
        """A file with a JSON list of request bodies, one row each."""
        file = self.folder / f"bodies-{shape}.json"
        if not file.exists():
            file.write_text(json.dumps([self.body(shape, i) for i in range(len(self.rows))]))
        return file

    def body(self, shape: Shape, row: int) -> str:
        """The body that asks about one row."""
        values = self.rows[row].tolist()
        return json.dumps({shape: [values if shape == "rows" else dict(zip(NAMES, values, strict=True))]})


def make_workload(folder: Path, *, seed: int) -> Workload:
    """Train the model (100 trees, 30 features) and write it into `folder`."""
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=(_TRAINING_ROWS, len(NAMES)))
    labels = _labels(matrix, generator)
    parameters = {"objective": "binary", "num_leaves": 31, "num_threads": 1, "seed": seed, "verbose": -1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(matrix, labels, feature_name=NAMES), _TREES)
    booster.save_model(folder / "model.lgb.txt")
    np.save(folder / "training.npy", matrix)
    # JSON carries every digit of a float64, so that all systems see the very same rows.
    rows = generator.normal(size=(_BODIES, len(NAMES))).round(6)
    return Workload(folder, rows, np.asarray(booster.predict(rows)))


def load_booster(folder: Path) -> lightgbm.Booster:
    """The model of a workload."""
    return lightgbm.Booster(model_file=folder / "model.lgb.txt")


def score_of(answer: Mapping[str, Any] | list[float]) -> float:
    """The score in any system's answer about one row.

    >>> score_of([0.25]), score_of({"predictions": [0.25]}), score_of({"predictions": [{"score": 0.25}]})
    (0.25, 0.25, 0.25)
    """
    first = answer[0] if isinstance(answer, list) else answer["predictions"][0]
    return float(first["score"] if isinstance(first, Mapping) else first)


def _labels(matrix: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.int64]:
    score = matrix[:, :10].sum(axis=1) + matrix[:, 10] * matrix[:, 11] + generator.normal(size=len(matrix))
    return (score > 0).astype(np.int64)
