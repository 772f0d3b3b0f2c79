"""Rows that an alert shows: which of them tell most about what was found, and how people read them. Pure.

A table of rows has the columns `request_id`, `row`, `time_s` and `score`, those of `EXTRA` that are known, and one for
each feature that people may see, named `feature:NAME`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlops_ray.alerting.moment import moment
from mlops_ray.drift import FeatureReference, Profile, QualityProblem
from mlops_ray.drift.distances import psi_groups
from mlops_ray.drift.seasonal import expected_counts
from mlops_ray.monitor.answered_rows import FEATURE
from mlops_ray.spec import ModelSpec

__all__ = ["EXTRA", "SampleRows", "broken", "grown", "hidden_by", "shown", "told"]

EXTRA = ("confidence", "label")
_FACTS = ("request_id", "row", "time", "answer", *EXTRA)
_MOST_FEATURES = 50

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SampleRows:
    """The newest rows, newest first, as people see them and as the profile counts them."""

    table: pa.Table
    values: Mapping[str, Floats] = field(default_factory=dict)
    """By feature that people may see, and the answer's."""
    classes: tuple[str, ...] = ()
    most: int = 3

    def told(self, features: Sequence[str], weights: Sequence[Floats]) -> list[dict[str, Any]]:
        """The rows of most weight as JSON values, these features before the others; without weights the newest."""
        places = pa.array(shown(weights, self.table.num_rows, self.most), pa.int64())
        return told(self.table.take(places), features, self.classes)


def hidden_by(spec: ModelSpec) -> frozenset[str]:
    """Features that the spec lets nobody see, whatever older records hold."""
    return frozenset(name for name, policy in spec.serve.capture.fields.items() if policy != "keep")


def broken(problem: QualityProblem, feature: FeatureReference, values: Floats) -> Floats:
    """1 for the values (n,) that are broken as the problem says, 0 for the others."""
    with np.errstate(invalid="ignore"):
        match problem.breakage:
            case "missing":
                found = np.isnan(values)
            case "infinite":
                found = np.isinf(values)
            case "zeros":
                found = values == 0
            case "unseen":
                found = values >= len(feature.categories)
            case "out_of_range":
                low = -np.inf if feature.low is None else feature.low
                found = (values < low) | (values > (np.inf if feature.high is None else feature.high))
            case _:  # all values are
                found = np.isfinite(values)
    return np.asarray(found, dtype=np.float64)


def grown(feature: FeatureReference, profile: Profile, place: int, values: Floats) -> Floats:
    """By how much the share of each value's bin grew against the reference, 0..1, of the bin that grew most 1.

    Bins are those of the PSI; `place` is the feature's in `profile`.
    """
    expected, counts = expected_counts(feature, profile.slots), profile.counts[place]
    groups = psi_groups(expected, feature.kind)
    before, now = (np.bincount(groups, weights=cells) / max(1, cells.sum()) for cells in (expected, counts))
    growth = np.clip(now - before, 0.0, None)
    weights = growth / (growth.max() or 1.0)
    return np.asarray(weights[groups[_cells(feature, values)]], dtype=np.float64)


def shown(weights: Sequence[Floats], rows: int, most: int) -> list[int]:
    """Places of at most `most` of the rows, each the one that shows most of what those before it show least.

    Args:
        weights: for each thing to be shown, how well each row (n,) does so.
        rows: how many there are; of equal ones the first is taken.
        most: to take.

    >>> shown([np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.0, 0.0, 0.0, 1.0])], 4, 2)
    [1, 3]
    >>> shown([], 4, 2)
    [0, 1]
    """
    if not weights:
        return list(range(min(rows, most)))
    matrix = np.column_stack(weights)
    seen, left = np.zeros(len(weights)), np.ones(rows, dtype=bool)
    found: list[int] = []
    for _ in range(min(rows, most)):
        place = int(np.where(left, (matrix / (1 + seen)).sum(axis=1), -1.0).argmax())
        found.append(place)
        left[place] = False
        seen += matrix[place]
    return found


def told(table: pa.Table, features: Collection[str], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Rows as JSON values: request, time, answer, outcome, and up to 50 features, the named ones first."""
    known = [name.removeprefix(FEATURE) for name in table.column_names if name.startswith(FEATURE)]
    names = [name for name in features if name in known]
    names = [*names, *(name for name in known if name not in names)][:_MOST_FEATURES]
    return [_record(row, names, classes) for row in table.to_pylist()]


def _record(row: Mapping[str, Any], features: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    record = {
        "request_id": row["request_id"],
        "row": row["row"],
        "time": moment(row["time_s"]),
        "answer": _answer(row["score"], classes),
    }
    if row.get("confidence") is not None:
        record["confidence"] = _plain(row["confidence"])
    if "label" in row:
        record["label"] = _answer(row["label"], classes)
    # a feature may be called like one of these
    return record | {f"{FEATURE if name in _FACTS else ''}{name}": _plain(row[FEATURE + name]) for name in features}


def _answer(value: float | None, classes: Sequence[str]) -> Any:
    """A class by its name, everything else as it is."""
    if value is not None and 0 <= value < len(classes):
        return classes[int(value)]
    return _plain(value)


def _plain(value: Any) -> Any:
    """JSON has no infinite numbers, and none that is missing."""
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else str(value)
    return value


def _cells(feature: FeatureReference, values: Floats) -> NDArray[np.int64]:
    """The cell of `counts` that each value (n,) is counted in."""
    missing, unseen = len(feature.counts) - 1, len(feature.categories)
    if feature.kind == "numeric":
        # a value on an edge lies below it
        cells = np.searchsorted(feature.edges, values, side="left")
        return np.where(np.isfinite(values), cells, missing).astype(np.int64)
    codes = np.where(np.isfinite(values), values, unseen)
    known = np.where((codes >= 0) & (codes < unseen), codes, unseen)
    return np.where(np.isnan(values), missing, known).astype(np.int64)
