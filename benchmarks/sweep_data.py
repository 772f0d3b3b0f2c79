"""The rows and the search that every contestant of the sweep benchmark gets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mlops_ray.model import InputColumn, Signature
from mlops_ray.spec import ModelSpec
from mlops_ray.train.training_data import Part, TrainingData

__all__ = ["SPACE", "SweepData", "read_parts", "spec_of", "training_data", "write_data"]

COLUMNS = 30
LABEL = "label"
SPACE: dict[str, Any] = {
    "learning_rate": {"log_uniform": [0.03, 0.3]},
    "num_leaves": {"int_uniform": [15, 127]},
    "min_data_in_leaf": {"int_uniform": [20, 300]},
    "feature_fraction": {"uniform": [0.5, 1.0]},
    "lambda_l2": {"log_uniform": [0.001, 10.0]},
}
_FILES = 8
_VALIDATION = 0.2


@dataclass(frozen=True)
class SweepData:
    """Folders of Parquet with the rows to train on and those to compare on."""

    train: Path
    valid: Path


def write_data(folder: Path, *, rows: int, seed: int) -> SweepData:
    """A binary task whose signal is partly non-linear and partly noise, so that hyperparameters matter."""
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=(rows, COLUMNS))
    raw = (
        matrix[:, 0] * matrix[:, 1]
        + np.sin(2 * matrix[:, 2])
        + np.abs(matrix[:, 3])
        + 0.5 * matrix[:, 4:14].sum(axis=1)
    )
    labels = (raw + generator.normal(0, 1.5, rows) > np.median(raw)).astype(np.float64)
    cut = int(rows * (1 - _VALIDATION))
    data = SweepData(folder / "train", folder / "valid")
    for where, part in ((data.train, slice(cut)), (data.valid, slice(cut, None))):
        where.mkdir(parents=True)
        places = np.arange(rows)[part]
        for number, chosen in enumerate(np.array_split(places, _FILES)):
            columns = {f"x{i}": matrix[chosen, i] for i in range(COLUMNS)} | {LABEL: labels[chosen]}
            pq.write_table(pa.table(columns), where / f"{number}.parquet")
    return data


def read_parts(data: SweepData) -> tuple[Part, Part]:
    """Training and validation rows as matrices, from the files."""
    return _read(data.train), _read(data.valid)


def training_data(train: Part, valid: Part) -> TrainingData:
    """What `mlops_ray.train.training_data.prepare` would make of the rows; nobody looks at a holdout here."""
    signature = Signature(tuple(InputColumn(f"x{i}", "float", False) for i in range(COLUMNS)), "binary")
    empty = pa.table({"x0": pa.array([], pa.float64())})
    return TrainingData(signature, train, valid, valid, empty, empty, valid.x[:0], 0)


def spec_of(trainer: str, *, cpus: int, **train: Any) -> ModelSpec:
    """A spec whose sweep is `train`."""
    features = {f"x{i}": "float" for i in range(COLUMNS)}
    return ModelSpec.model_validate(
        {
            "name": "sweep_bench",
            "data": {"source": "/nowhere", "label": LABEL, "features": features},
            "train": {"trainer": trainer, "resources": {"cpus": cpus}, **train},
        }
    )


def _read(folder: Path) -> Part:
    table = pq.read_table(folder)
    matrix: NDArray[np.float64] = np.column_stack([table[f"x{i}"].to_numpy() for i in range(COLUMNS)])
    return Part(np.ascontiguousarray(matrix), table[LABEL].to_numpy())
