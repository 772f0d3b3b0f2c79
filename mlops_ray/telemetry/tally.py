"""Counts by series, mergeable in whatever order."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Self

from numpy.typing import ArrayLike

from mlops_ray.telemetry.histogram import Histogram
from mlops_ray.telemetry.metrics import METRICS

__all__ = ["Series", "Tally"]

Series = tuple[str, ...]
"""The name of a metric, and the values of its labels in the order in which it declares them."""


class Tally:
    """Counters and histograms of any metrics; belongs to one thread at a time."""

    def __init__(self) -> None:
        self.counts: dict[Series, float] = defaultdict(float)
        self.histograms: dict[Series, Histogram] = {}

    def __bool__(self) -> bool:
        """Whether anything was counted."""
        return any(self.counts.values()) or bool(self.histograms)

    def add(self, series: Series, amount: float = 1.0) -> None:
        """Count something; with 0 the series begins, so that its first event is an increase too."""
        self.counts[series] += amount

    def observe(self, series: Series, values: ArrayLike) -> None:
        """Take values (n,) into the histogram of a series."""
        self._histogram(series).observe(METRICS[series[0]].edges, values)

    def take(self, series: Series, histogram: Histogram) -> None:
        """Take in values that were counted already, by the edges of the metric."""
        if histogram.count:
            self._histogram(series).merge(histogram)

    def merge(self, other: "Tally") -> None:
        """Take in all that another one has counted."""
        for series, amount in other.counts.items():
            self.counts[series] += amount
        for series, histogram in other.histograms.items():
            self.take(series, histogram)

    def forget(self, gone: Callable[[Series], bool]) -> None:
        """Drop series."""
        self.counts = defaultdict(float, {s: n for s, n in self.counts.items() if not gone(s)})
        self.histograms = {s: h for s, h in self.histograms.items() if not gone(s)}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "counts": [[list(series), amount] for series, amount in self.counts.items()],
            "histograms": [[list(series), h.counts, h.sum] for series, h in self.histograms.items()],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        tally = cls()
        for series, amount in content["counts"]:
            tally.counts[tuple(series)] = amount
        for series, counts, total in content["histograms"]:
            tally.histograms[tuple(series)] = Histogram(list(counts), total)
        return tally

    def _histogram(self, series: Series) -> Histogram:
        known = self.histograms.get(series)
        if known is None:
            known = self.histograms[series] = Histogram.empty(METRICS[series[0]].edges)
        return known
