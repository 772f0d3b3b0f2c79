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
        if not len(self.hashes) or not len(other.hashes):
            return self if len(self.hashes) else HashCounts(self.limit, other.hashes, other.counts)
        return _added_up(
            self.limit, np.concatenate([self.hashes, other.hashes]), np.concatenate([self.counts, other.counts])
        )


class HashCounter:
    """Counts hashes, as many as come, in bounded memory."""

    def __init__(self, limit: int) -> None:
        self._found = HashCounts.empty(limit)
        self._waiting: list[Hashes] = []  # to be counted once each: together, because sorting is what costs
        self._waiting_rows = 0

    def add(self, hashes: Hashes, counts: npt.NDArray[np.int64] | None = None) -> None:
        """Count these, each once or as often as `counts` says."""
        if not self._found.exact:
            small = hashes <= self._found.hashes[-1]
            hashes, counts = hashes[small], counts[small] if counts is not None else None
        if counts is not None:
            self._found = self._found.merge(_added_up(self._found.limit, hashes, counts))
        elif len(hashes):
            self._waiting.append(hashes)
            self._waiting_rows += len(hashes)
            if self._waiting_rows >= self._found.limit:
                self._count()

    def result(self) -> HashCounts:
        """What was counted so far."""
        self._count()
        return self._found

    def _count(self) -> None:
        if self._waiting:
            hashes = np.concatenate(self._waiting) if len(self._waiting) > 1 else self._waiting[0]
            self._waiting, self._waiting_rows = [], 0
            self._found = self._found.merge(_counted(self._found.limit, hashes))


def _counted(limit: int, hashes: Hashes) -> HashCounts:
    """The smallest of these, which are many."""
    if len(hashes) > 8 * limit:  # those that can be among the smallest, where a quick look tells
        small = np.sort(hashes[hashes < np.uint64(_SPACE * 4 * limit / len(hashes))])
        found = _runs(limit, small)
        if not found.exact:
            return found
    return _runs(limit, np.sort(hashes))


def _runs(limit: int, ordered: Hashes) -> HashCounts:
    starts = _starts(ordered)
    lengths = (
        np.diff(starts[: limit + 1], append=len(ordered)) if len(starts) <= limit else np.diff(starts[: limit + 1])
    )
    return HashCounts(limit, ordered[starts[:limit]], lengths)


def _added_up(limit: int, hashes: Hashes, counts: npt.NDArray[np.int64]) -> HashCounts:
    order = np.argsort(hashes, kind="stable")  # quick where two ascending parts follow each other
    hashes, counts = hashes[order], counts[order]
    starts = _starts(hashes)
    totals = np.add.reduceat(counts, starts) if len(starts) else counts
    return HashCounts(limit, hashes[starts[:limit]], totals[:limit])


def _starts(ordered: Hashes) -> npt.NDArray[np.int64]:
    """Where each distinct one of ascending hashes begins."""
    first = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return np.flatnonzero(first)
