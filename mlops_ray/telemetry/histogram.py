"""How many values lie in which range: mergeable, and of a size that does not grow with their number."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Histogram"]


@dataclass
class Histogram:
    """Counts by upper edge, each edge inclusive, and one more for what is above the last; and the sum of the values."""

    counts: list[int]
    sum: float = 0.0

    @classmethod
    def empty(cls, edges: Sequence[float]) -> "Histogram":
        """Of no values."""
        return cls([0] * (len(edges) + 1))

    @property
    def count(self) -> int:
        """Of all values."""
        return sum(self.counts)

    def observe(self, edges: Sequence[float], values: ArrayLike) -> None:
        """Take in values (n,), which are finite; `edges` are ascending, and the same in every call.

        >>> histogram = Histogram.empty((1.0, 2.0))
        >>> histogram.observe((1.0, 2.0), [0.5, 1.0, 3.0])
        >>> histogram.counts, histogram.sum
        ([2, 0, 1], 4.5)
        """
        taken = np.asarray(values, dtype=np.float64)
        new = np.bincount(np.searchsorted(edges, taken, side="left"), minlength=len(self.counts)).tolist()
        self.counts = [known + more for known, more in zip(self.counts, new, strict=True)]
        self.sum += float(taken.sum())

    def merge(self, other: "Histogram") -> None:
        """Take in what another one with the same edges has seen."""
        self.counts = [known + more for known, more in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum
