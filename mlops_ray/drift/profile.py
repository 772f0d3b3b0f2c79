"""What was served, as counts over the cells of a reference and a few sums: small, mergeable in any order, no rows kept.

All of it is added when profiles are merged. Sums are kept on a grid of 2^-16, so that adding them is exact, and merging
associative, up to 1e11.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift.reference import ReferenceProfile
from mlops_ray.drift.wire import packed, unpacked
from mlops_ray.errors import ValidationError

__all__ = ["MOMENTS", "RANGES", "Profile", "empty", "merge", "subtract"]

MOMENTS = ("n", "z", "z_squared", "n_log", "log", "log_squared")
"""Sums of finite values of a numeric column: how many; z = (x - mean) / std of the reference, cut at 4096, and z^2; how
many are not 0, ln |x| of these, and its square."""
RANGES = ("zeros", "below", "above", "infinite")
"""Values that are 0, below and above all of the reference, and infinite ones (which also count as missing)."""


@dataclass(frozen=True, eq=False)
class Profile:
    """Rows seen and, per feature of the reference, what its values come to. Arrays are read-only."""

    rows: int
    lengths: NDArray[np.int64]
    """Cells of each feature (d,)."""
    cells: NDArray[np.int64]
    """Counts of all features' cells, one after the other."""
    sums: NDArray[np.float64]
    """Of z, see `MOMENTS`, in each cell of a numeric feature; 0 in those of others."""
    moments: NDArray[np.float64]
    """(d, 6), see `MOMENTS`; zeros for a categorical feature."""
    ranges: NDArray[np.int64]
    """(d, 4), see `RANGES`."""
    slots: NDArray[np.int64]
    """Rows whose time is known, by slot of the reference's season."""

    def __post_init__(self) -> None:
        for array in (self.lengths, self.cells, self.sums, self.moments, self.ranges, self.slots):
            array.setflags(write=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    @cached_property
    def counts(self) -> tuple[NDArray[np.int64], ...]:
        """Of each feature the counts of its cells, as `FeatureReference.counts` lists them."""
        return tuple(np.split(self.cells, np.cumsum(self.lengths)[:-1]))[: len(self.lengths)]

    @cached_property
    def cell_sums(self) -> tuple[NDArray[np.float64], ...]:
        """Of each feature the sums of z in its cells."""
        return tuple(np.split(self.sums, np.cumsum(self.lengths)[:-1]))[: len(self.lengths)]

    def moment(self, feature: int, name: str) -> float:
        """One of `MOMENTS` of a feature."""
        return float(self.moments[feature, MOMENTS.index(name)])

    def range_count(self, feature: int, name: str) -> int:
        """One of `RANGES` of a feature."""
        return int(self.ranges[feature, RANGES.index(name)])

    def to_bytes(self) -> bytes:
        """A compact form for the wire: 8 bytes for the sum of a cell, 1 to 8 for its count."""
        return packed(self.rows, [self.lengths, self.cells, self.sums, self.moments, self.ranges, self.slots])

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`; also reads what versions before 0.3 wrote, which had counts only.

        Raises:
            ValidationError: the bytes are not a whole profile.
        """
        rows, arrays = unpacked(data)
        lengths, cells = arrays[:2]
        d = len(lengths)
        unknown = [np.zeros(size) for size in (len(cells), d * len(MOMENTS), d * len(RANGES), 0)]
        sums, moments, ranges, slots = arrays[2:] or unknown
        if (
            not len(cells) == len(sums) == lengths.sum()
            or len(moments) != d * len(MOMENTS)
            or len(ranges) != d * len(RANGES)
        ):
            raise ValidationError(f"expected a profile of {d} features with {lengths.sum()} cells; it is damaged")
        return cls(
            rows,
            lengths.astype(np.int64),
            cells.astype(np.int64),
            sums.astype(np.float64),
            moments.astype(np.float64).reshape(d, len(MOMENTS)),
            ranges.astype(np.int64).reshape(d, len(RANGES)),
            slots.astype(np.int64),
        )


def empty(reference: ReferenceProfile) -> Profile:
    """The profile of no rows: the neutral element of `merge`."""
    lengths = np.array([len(feature.counts) for feature in reference.features], dtype=np.int64)
    return Profile(
        0,
        lengths,
        np.zeros(int(lengths.sum()), dtype=np.int64),
        np.zeros(int(lengths.sum())),
        np.zeros((len(lengths), len(MOMENTS))),
        np.zeros((len(lengths), len(RANGES)), dtype=np.int64),
        np.zeros(reference.season.slots if reference.season is not None else 0, dtype=np.int64),
    )


def merge(a: Profile, b: Profile) -> Profile:
    """The profile of the rows of both; associative and commutative.

    Raises:
        ValidationError: the profiles belong to different references.
    """
    return _combine(a, b, np.add, a.rows + b.rows)


def subtract(a: Profile, b: Profile) -> Profile:
    """The profile of the rows of `a` without those of `b`, which must be among them.

    Raises:
        ValidationError: the profiles belong to different references, or `b` holds rows that `a` does not.
    """
    left = _combine(a, b, np.subtract, a.rows - b.rows)
    if left.rows < 0 or any((part < 0).any() for part in (left.cells, left.ranges, left.slots)):
        raise ValidationError(f"cannot take {b.rows} rows out of {a.rows}: some of them were never merged in")
    return left


def _combine(a: Profile, b: Profile, by: Callable[..., NDArray[Any]], rows: int) -> Profile:
    if not np.array_equal(a.lengths, b.lengths):
        cells = a.lengths.tolist(), b.lengths.tolist()
        raise ValidationError(f"expected profiles of one reference, found the cells {cells[0]} and {cells[1]}")
    size = max(len(a.slots), len(b.slots))
    slots = [np.pad(profile.slots, (0, size - len(profile.slots))) for profile in (a, b)]
    pairs = (a.cells, b.cells), (a.sums, b.sums), (a.moments, b.moments), (a.ranges, b.ranges), slots
    return Profile(rows, a.lengths, *(by(x, y) for x, y in pairs))
