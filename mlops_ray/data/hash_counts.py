"""How many distinct values there are and how often they repeat, from a bounded number of their hashes; mergeable.

Those with the smallest hashes are a random choice of the distinct values, the same one wherever they are met: a
k-minimum-values sketch (Bar-Yossef et al. 2002), with the count of each.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from mlops_ray.data.hashing import Hashes

__all__ = ["HashCounter", "HashCounts"]

_SPACE = 2.0**64


@dataclass(frozen=True, eq=False)
class HashCounts:
    """The `limit` smallest of the distinct hashes seen, ascending, and how often each was seen."""

    limit: int
    hashes: Hashes
    counts: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, limit: int) -> Self:
        """Nothing seen: the neutral element of `merge`."""
        return cls(limit, np.empty(0, np.uint64), np.empty(0, np.int64))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, HashCounts)
            and self.limit == other.limit
            and np.array_equal(self.hashes, other.hashes)
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays inside

    @property
    def exact(self) -> bool:
        """Whether all distinct values are in it."""
        return len(self.hashes) < self.limit

    def distinct(self) -> int:
        """How many distinct values were seen; beyond `limit` within 1 / sqrt(limit) of the truth, two times of three.

        >>> HashCounts(3, np.array([5, 9], np.uint64), np.array([1, 4])).distinct()
        2
        """
        if self.exact:
            return len(self.hashes)
        return round((self.limit - 1) / (float(self.hashes[-1]) / _SPACE))

    def repeated_share(self) -> float:
        """Share of the rows that repeat another one.

        >>> HashCounts(3, np.array([5, 9], np.uint64), np.array([1, 3])).repeated_share()
        0.5
        """
        rows = int(self.counts.sum())
        return 1 - len(self.hashes) / rows if rows else 0.0

    def merge(self, other: "HashCounts") -> "HashCounts":
        """Both together; associative and commutative."""
        hashes = np.concatenate([self.hashes, other.hashes])
        return _smallest(self.limit, hashes, np.concatenate([self.counts, other.counts]))


class HashCounter:
    """Counts hashes, as many as come, in bounded memory."""

    def __init__(self, limit: int) -> None:
        self._found = HashCounts.empty(limit)

    def add(self, hashes: Hashes, counts: npt.NDArray[np.int64] | None = None) -> None:
        """Count these, each once or as often as `counts` says."""
        if not self._found.exact:
            small = hashes <= self._found.hashes[-1]
            hashes, counts = hashes[small], counts[small] if counts is not None else None
        else:
            hashes, counts = self._first_cut(hashes, counts)
        if len(hashes):
            ones = np.ones(len(hashes), np.int64) if counts is None else counts
            self._found = self._found.merge(_smallest(self._found.limit, hashes, ones))

    def result(self) -> HashCounts:
        """What was counted so far."""
        return self._found

    def _first_cut(
        self, hashes: Hashes, counts: npt.NDArray[np.int64] | None
    ) -> tuple[Hashes, npt.NDArray[np.int64] | None]:
        """Those that can be among the smallest, where a quick look tells: sorting all is ten times as dear."""
        limit = self._found.limit
        if len(hashes) <= 8 * limit:
            return hashes, counts
        small = hashes < np.uint64(_SPACE * 4 * limit / len(hashes))
        if len(np.unique(hashes[small])) < limit:
            return hashes, counts
        return hashes[small], counts[small] if counts is not None else None


def _smallest(limit: int, hashes: Hashes, counts: npt.NDArray[np.int64]) -> HashCounts:
    distinct, places = np.unique(hashes, return_inverse=True)
    totals = np.zeros(len(distinct), np.int64)
    np.add.at(totals, places, counts)
    return HashCounts(limit, distinct[:limit], totals[:limit])
