"""The rows of benchmarks/electricity.py in time order, and the spec of the model that answers them."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray

from mlops_ray.spec import ModelSpec, parse_spec

__all__ = ["DAY_ROWS", "DAY_S", "HALF_HOUR_S", "START_S", "Stream", "drifting_features", "read_electricity", "spec_of"]

Floats = NDArray[np.float64]

HALF_HOUR_S = 1800.0
DAY_ROWS = 48
DAY_S = DAY_ROWS * HALF_HOUR_S
START_S = 831_600_000.0 // DAY_S * DAY_S  # May 1996; only differences matter

_FEATURES = ("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
_NOISE = ("humidity", "wind")


@dataclass(frozen=True)
class Stream:
    """Rows a half-hour apart."""

    features: dict[str, Floats]
    labels: Floats

    def __len__(self) -> int:
        """Rows."""
        return len(self.labels)

    def times(self) -> Floats:
        """Of the rows, in Unix seconds."""
        return START_S + HALF_HOUR_S * np.arange(len(self), dtype=np.float64)

    def part(self, begin: int, end: int) -> pa.Table:
        """The features of rows from `begin` up to `end`."""
        return pa.table({name: values[begin:end] for name, values in self.features.items()})

    def first(self, rows: int) -> "Stream":
        """The oldest rows."""
        return Stream({name: values[:rows] for name, values in self.features.items()}, self.labels[:rows])

    def labelled(self, end: int) -> pa.Table:
        """All rows up to `end`, as a training reads them: time, features and label."""
        days = np.arange(end) // DAY_ROWS
        columns: dict[str, Any] = {"day": days, "at": (self.times()[:end] * 1e6).astype("datetime64[us]")}
        columns |= {name: values[:end] for name, values in self.features.items()}
        return pa.table({**columns, "up": self.labels[:end].astype(np.int64)})


def read_electricity(path: Path) -> Stream:
    """The electricity market of New South Wales (Harries 1999): 45,312 half-hours, label 1 where the price goes up."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    features = {name: np.array([float(row[name]) for row in rows]) for name in _FEATURES}
    return Stream(features, np.array([float(row["class"]) for row in rows]))


def drifting_features(stream: Stream, *, seed: int) -> Stream:
    """A stream whose features drift while the errors stay: the same rows shuffled in time, so that nothing changes,
    and two features beside them that say nothing of the label and wander by eight standard deviations."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(stream))
    features = {name: values[order] for name, values in stream.features.items()}
    slope = np.linspace(0.0, 8.0, len(stream))
    for name, sign in zip(_NOISE, (1.0, -1.0), strict=True):
        features[name] = sign * slope + generator.normal(size=len(stream))
    return Stream(features, stream.labels[order])


def spec_of(stream: Stream, **changes: Any) -> ModelSpec:
    """The spec of the model; `changes` replace values by their dotted path, such as `train.newest_rows`."""
    content: dict[str, Any] = {
        "name": "electricity",
        "data": {
            "source": "/nowhere",
            "label": "up",
            "unit": "day",
            "timestamp": "at",
            "features": dict.fromkeys(stream.features, "float"),
        },
        "train": {
            "metric": "accuracy",
            "newest_rows": 3000,
            "trials": 1,
            "space": {"learning_rate": 0.1, "num_leaves": 7, "min_data_in_leaf": 50},
            "max_iterations": 100,
            "holdout": {"fraction": 0.2, "by": "unit"},
        },
        "gates": [{"metric": "accuracy", "not_worse_by": 0.1}],
        "monitor": {
            "window": {"size_s": 7 * DAY_S, "every_s": DAY_S, "min_rows": 200},
            "labels": {
                "matures_s": DAY_S,
                "windows": 3,
                "decay": {"metric": "accuracy", "max_drop": 0.05, "min_labels": 480},
                "concept_drift": {"run_length": 10_000},
                "slices": {"enabled": False},  # it decides nothing, and takes its time
            },
        },
        "retrain": {
            "triggers": ["concept_drift", "decay"],
            "guards": {"cooldown_s": 45 * DAY_S, "max_per_day": 1},
        },
    }
    for path, value in changes.items():
        *sections, last = path.split(".")
        place = content
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return parse_spec(yaml.safe_dump(content))
