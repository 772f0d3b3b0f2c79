"""What is counted of one column over the good rows of a batch: moments, distinct and frequent values; mergeable."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from mlops_ray.data.hash_counts import HashCounter, HashCounts
from mlops_ray.data.hashing import Hashes, hash_numbers, hash_texts

__all__ = ["ColumnCounter", "ColumnStatistics", "Moments"]

_DISTINCT = 1024  # hashes kept: the number of distinct values is told within about 3 %
_COUNTED = 200  # distinct values up to which each is counted
_LARGEST = 1e150  # numbers beyond count as this, because their squares are no numbers
_NULL = np.uint64(0x6E756C6C)


@dataclass(frozen=True)
class Moments:
    """Smallest, largest, mean and sum of squared deviations of `n` numbers; of times in seconds since 1970."""

    n: int = 0
    min: float = math.inf
    max: float = -math.inf
    mean: float = 0.0
    m2: float = 0.0

    @property
    def std(self) -> float:
        """The standard deviation over all `n`."""
        return math.sqrt(self.m2 / self.n) if self.n else 0.0

    def merge(self, other: "Moments") -> "Moments":
        """Both together (Chan, Golub and LeVeque 1979); associative but for rounding."""
        n = self.n + other.n
        if not self.n or not other.n:
            return self if self.n else other
        apart = other.mean - self.mean
        return Moments(
            n,
            min(self.min, other.min),
            max(self.max, other.max),
            self.mean + apart * other.n / n,
            self.m2 + other.m2 + apart * apart * self.n * other.n / n,
        )

    @classmethod
    def of(cls, numbers: npt.NDArray[np.float64]) -> "Moments":
        """Those of an array without NaN."""
        if not len(numbers):
            return cls()
        low, high = float(numbers.min()), float(numbers.max())
        if max(-low, high) > _LARGEST:
            return cls.of(np.clip(numbers, -_LARGEST, _LARGEST))
        mean = float(numbers.mean())
        apart = numbers - mean
        apart *= apart  # and no dot product: its threads would wait for each other in small pieces
        return cls(len(numbers), low, high, mean, float(apart.sum()))


@dataclass(frozen=True)
class ColumnStatistics:
    """One column; `top` counts each value while they are few, and is None where they are many."""

    rows: int = 0
    nulls: int = 0
    moments: Moments = Moments()
    distinct: HashCounts = field(default_factory=lambda: HashCounts.empty(_DISTINCT))
    top: Mapping[str, int] | None = field(default_factory=dict)

    def merge(self, other: "ColumnStatistics") -> "ColumnStatistics":
        """Both together; associative and commutative but for rounding."""
        return ColumnStatistics(
            self.rows + other.rows,
            self.nulls + other.nulls,
            self.moments.merge(other.moments),
            self.distinct.merge(other.distinct),
            _few(self.top, other.top),
        )


class ColumnCounter:
    """Counts one column in the order its values come.

    While the values are few they go through a dictionary, which counts them; from then on only hashes are looked at.
    """

    def __init__(self, kind: pa.DataType) -> None:
        # what is no number is only counted and compared
        self._is_text = not (
            pat.is_integer(kind) or pat.is_floating(kind) or pat.is_boolean(kind) or pat.is_timestamp(kind)
        )
        self._is_named = not (pat.is_binary(kind) or pat.is_large_binary(kind))
        self._is_time = pat.is_timestamp(kind)
        self._counted = ColumnStatistics()
        self._counter = HashCounter(_DISTINCT)

    def add(self, values: pa.Array) -> Hashes:
        """Count these; (n,) hashes of the values, for whoever wants to know equal rows."""
        nulls = values.null_count
        present = values.drop_null() if nulls else values
        few = self._counted.top is not None and (self._is_text or _looks_few(present))
        hashes = self._few(present) if few or self._is_text else self._many(present)
        found = self._counted
        moments = found.moments if self._is_text else found.moments.merge(Moments.of(self._numbers(present)))
        self._counted = replace(found, rows=found.rows + len(values), nulls=found.nulls + nulls, moments=moments)
        if not nulls:
            return hashes
        whole = np.full(len(values), _NULL)
        whole[values.is_valid().to_numpy(zero_copy_only=False)] = hashes
        return whole

    def result(self) -> ColumnStatistics:
        """What was counted so far."""
        return replace(self._counted, distinct=self._counter.result())

    def _many(self, present: pa.Array) -> Hashes:
        self._counted = replace(self._counted, top=None)
        narrow = _narrow(present)
        if narrow is None:
            hashes = hash_numbers(present)
            self._counter.add(hashes)
            return hashes
        values, codes = narrow
        counts = np.bincount(codes, minlength=len(values))
        hashes, found = hash_numbers(pa.array(values)), counts > 0
        self._counter.add(hashes[found], counts[found])
        return hashes[codes]

    def _few(self, present: pa.Array) -> Hashes:
        encoded = present.dictionary_encode()
        values, codes = encoded.dictionary, encoded.indices.to_numpy(zero_copy_only=False)
        counts = np.bincount(codes, minlength=len(values)).astype(np.int64)
        hashes = hash_texts(values) if self._is_text else hash_numbers(values)
        self._counter.add(hashes, counts)
        top = None
        if len(values) <= _COUNTED and self._is_named:
            named = zip(values.cast(pa.string()).to_pylist(), counts.tolist(), strict=True)
            top = _few(self._counted.top, dict(named))
        self._counted = replace(self._counted, top=top)
        return hashes[codes] if len(hashes) else np.empty(0, np.uint64)

    def _numbers(self, present: pa.Array) -> npt.NDArray[np.float64]:
        if self._is_time:
            return present.cast(pa.int64()).to_numpy(zero_copy_only=False) / 1e6
        if pat.is_boolean(present.type):
            present = pc.cast(present, pa.int8())
        return present.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)


def _narrow(values: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None:
    """Whole numbers from a small range: all numbers of the range, and the place in it of each value."""
    if not pat.is_int64(values.type) or not len(values):
        return None
    numbers = values.to_numpy(zero_copy_only=False)
    low, high = int(numbers.min()), int(numbers.max())
    return (low + np.arange(high - low + 1), numbers - low) if high - low < len(numbers) // 4 else None


def _looks_few(values: pa.Array) -> bool:
    """Whether it is worth while to put all in a dictionary, which is slow for many distinct values."""
    return len(values.slice(0, 4 * _COUNTED).unique()) <= _COUNTED


def _few(one: Mapping[str, int] | None, other: Mapping[str, int] | None) -> Mapping[str, int] | None:
    if one is None or other is None:
        return None
    both = Counter(one)
    both.update(other)
    return dict(both) if len(both) <= _COUNTED else None
