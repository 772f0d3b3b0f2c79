"""What every system under measurement gets: one LightGBM model, the same request bodies, the same right answers."""

import json
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
from numpy.typing import NDArray

__all__ = ["NAMES", "Workload", "load_booster", "make_workload"]

NAMES = [f"f{i}" for i in range(30)]
_TREES = 100
_TRAINING_ROWS = 5_000
_BODIES = 256


@dataclass(frozen=True)
class Workload:
    """The files of a workload, and the score of its first body."""

    folder: Path
    first_body: str
    first_score: float

    @property
    def bodies(self) -> Path:
        """JSON list of request bodies, one record each."""
        return self.folder / "bodies.json"


def make_workload(folder: Path, *, seed: int) -> Workload:
    """Train the model (100 trees, 30 features) and write it with the bodies into `folder`."""
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=(_TRAINING_ROWS, len(NAMES)))
    labels = _labels(matrix, generator)
    parameters = {"objective": "binary", "num_leaves": 31, "num_threads": 1, "seed": seed, "verbose": -1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(matrix, labels, feature_name=NAMES), _TREES)
    booster.save_model(folder / "model.lgb.txt")
    np.save(folder / "training.npy", matrix)
    # JSON carries every digit of a float64, so that all systems see the very same rows.
    rows = generator.normal(size=(_BODIES, len(NAMES))).round(6)
    bodies = [json.dumps({"records": [dict(zip(NAMES, row, strict=True))]}) for row in rows.tolist()]
    (folder / "bodies.json").write_text(json.dumps(bodies))
    return Workload(folder, bodies[0], float(np.asarray(booster.predict(rows[:1]))[0]))


def load_booster(folder: Path) -> lightgbm.Booster:
    """The model of a workload."""
    return lightgbm.Booster(model_file=folder / "model.lgb.txt")


def _labels(matrix: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.int64]:
    score = matrix[:, :10].sum(axis=1) + matrix[:, 10] * matrix[:, 11] + generator.normal(size=len(matrix))
    return (score > 0).astype(np.int64)
