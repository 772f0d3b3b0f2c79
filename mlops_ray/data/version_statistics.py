"""The statistics that are kept with a version: of the rows it added, for people and for the next batch's checks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa

from mlops_ray.data.column import Column
from mlops_ray.data.column_statistics import ColumnStatistics
from mlops_ray.data.sample_profile import profile_of
from mlops_ray.data.statistics import BatchStatistics
from mlops_ray.drift import ReferenceProfile

__all__ = ["VersionStatistics"]

_BINS = 24
_TOP = 10
_LARGEST = 1e150  # the bins of larger numbers would have no width
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True)
class VersionStatistics:
    """Rows, what each column holds, and the profile that later batches are compared with."""

    rows: int
    columns: Mapping[str, Mapping[str, Any]]  # plain JSON values, see `of`
    profile: ReferenceProfile | None

    @classmethod
    def of(
        cls,
        statistics: BatchStatistics,
        columns: Sequence[Column],
        *,
        time: str | None,
        previous: "VersionStatistics | None" = None,
    ) -> Self:
        """Those of a batch. Each column has rows, nulls, distinct (and whether that is exact) and top; a number also
        min, max, mean, std, quantiles (of the sample) and histogram: shares below, between and above the edges, which
        are those of `previous` as far as there are some, so that the two can be laid over each other.
        """
        sample = statistics.sample
        before = previous.columns if previous is not None else {}
        described = {
            column.name: _described(
                statistics.columns.get(column.name, ColumnStatistics()), column, sample, before.get(column.name, {})
            )
            for column in columns
        }
        profile = profile_of(columns, sample.rows, time=time) if sample is not None else None
        return cls(statistics.good_rows, described, profile)

    def to_json(self) -> str:
        """JSON text."""
        profile = json.loads(self.profile.to_json()) if self.profile is not None else None
        return json.dumps({"rows": self.rows, "columns": self.columns, "profile": profile}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The inverse of `to_json`."""
        content = json.loads(text)
        profile = content["profile"]
        reference = ReferenceProfile.from_json(json.dumps(profile)) if profile is not None else None
        return cls(content["rows"], content["columns"], reference)


def _described(found: ColumnStatistics, column: Column, sample: Any, before: Mapping[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "kind": column.kind,
        "rows": found.rows,
        "nulls": found.nulls,
        "distinct": found.distinct.distinct(),
        "distinct_exact": found.distinct.exact,
        "top": _top(found),
    }
    moments = found.moments
    if moments.n and column.kind not in ("bool", "category", "text"):
        described |= {"min": moments.min, "max": moments.max}
        if column.kind != "time":
            described |= {"mean": moments.mean, "std": moments.std}
            described |= _shape(sample.rows[column.name], before.get("histogram"))
    return described


def _top(found: ColumnStatistics) -> list[list[Any]] | None:
    if found.top is None:
        return None
    return [[value, n] for value, n in sorted(found.top.items(), key=lambda item: (-item[1], item[0]))[:_TOP]]


def _shape(values: pa.ChunkedArray, before: Mapping[str, Any] | None) -> dict[str, Any]:
    numbers = np.clip(values.drop_null().cast(pa.float64(), safe=False).to_numpy(), -_LARGEST, _LARGEST)
    if not len(numbers):  # so few that none is in the sample
        return {}
    quantiles = np.quantile(numbers, _QUANTILES)
    if before is not None:
        edges = np.array(before["edges"])
    else:
        low, high = float(quantiles[0]), float(quantiles[-1])
        edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    below = np.searchsorted(np.sort(numbers), edges, side="left")
    shares = np.diff(np.concatenate([[0], below, [len(numbers)]])) / len(numbers)
    return {
        "quantiles": {f"{q:g}": float(v) for q, v in zip(_QUANTILES, quantiles, strict=True)},
        "histogram": {"edges": edges.tolist(), "shares": shares.tolist()},
    }
