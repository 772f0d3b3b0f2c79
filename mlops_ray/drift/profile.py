"""What was served, as counts over the cells of a reference: small, mergeable in any order, no rows kept."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift.cells import as_matrix, categorical_counts, numeric_counts, sorted_columns
from mlops_ray.drift.reference import ReferenceProfile
from mlops_ray.errors import ValidationError

__all__ = ["Profile", "empty", "fold", "merge", "subtract"]

_HEADER = struct.Struct("<4sqI")  # magic, rows, number of features
_MAGIC = b"MRP1"
_CHUNK_ROWS = 65_536  # a chunk of a wide matrix is copied and sorted: bounds the memory


@dataclass(frozen=True, eq=False)
class Profile:
    """Rows seen and, per feature of the reference, the counts of its cells. Arrays are read-only."""

    rows: int
    counts: tuple[NDArray[np.int64], ...]

    def __post_init__(self) -> None:
        for counts in self.counts:
            counts.setflags(write=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def to_bytes(self) -> bytes:
        """A compact form for the wire: 8 bytes a cell."""
        lengths = np.array([len(counts) for counts in self.counts], dtype="<u4")
        cells = np.concatenate([np.empty(0, dtype="<i8"), *self.counts]).astype("<i8")
        return _HEADER.pack(_MAGIC, self.rows, len(self.counts)) + lengths.tobytes() + cells.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`.

        Raises:
            ValidationError: the bytes are not a whole profile.
        """
        if len(data) < _HEADER.size or not data.startswith(_MAGIC):
            raise ValidationError(f"expected the bytes of a profile, found {len(data)} bytes that are none")
        _, rows, features = _HEADER.unpack_from(data)
        cells_at = _HEADER.size + 4 * features
        lengths = np.frombuffer(data[_HEADER.size : cells_at], dtype="<u4")
        expected = cells_at + 8 * int(lengths.sum())
        if len(lengths) != features or len(data) != expected:
            raise ValidationError(f"expected a profile of {expected} bytes, found {len(data)}; it is damaged")
        cells = np.frombuffer(data, dtype="<i8", offset=cells_at).astype(np.int64)
        return cls(rows=rows, counts=tuple(part.copy() for part in np.split(cells, np.cumsum(lengths)[:-1])[:features]))


def empty(reference: ReferenceProfile) -> Profile:
    """The profile of no rows: the neutral element of `merge`."""
    return Profile(0, tuple(np.zeros(len(feature.counts), dtype=np.int64) for feature in reference.features))


def fold(reference: ReferenceProfile, matrix: NDArray[np.float64]) -> Profile:
    """The profile of the rows in `matrix`, (n, d) in the order of the reference's features. Cheap from ~256 rows on.

    Raises:
        ValidationError: not one column per feature.

    >>> from mlops_ray.drift import Column, build_reference
    >>> reference = build_reference([Column("plan", "categorical", ("a", "b"))], np.array([[0.0], [1.0]]))
    >>> fold(reference, np.array([[1.0], [2.0], [np.nan]])).counts[0].tolist()
    [0, 1, 1, 1]
    """
    values = as_matrix(matrix, len(reference.features))
    total = empty(reference)
    for start in range(0, len(values), _CHUNK_ROWS):
        total = merge(total, _fold_chunk(reference, values[start : start + _CHUNK_ROWS]))
    return total


def merge(a: Profile, b: Profile) -> Profile:
    """The profile of the rows of both; associative and commutative.

    Raises:
        ValidationError: the profiles belong to different references.
    """
    return _combine(a, b, np.add, a.rows + b.rows)


def subtract(a: Profile, b: Profile) -> Profile:
    """The profile of the rows of `a` without those of `b`, which must be among them: the way a window forgets.

    Raises:
        ValidationError: the profiles belong to different references, or `b` holds rows that `a` does not.
    """
    left = _combine(a, b, np.subtract, a.rows - b.rows)
    if left.rows < 0 or any((counts < 0).any() for counts in left.counts):
        raise ValidationError(f"cannot take {b.rows} rows out of {a.rows}: some of them were never merged in")
    return left


def _combine(a: Profile, b: Profile, by: Callable[..., NDArray[np.int64]], rows: int) -> Profile:
    shapes = [[len(counts) for counts in profile.counts] for profile in (a, b)]
    if shapes[0] != shapes[1]:
        raise ValidationError(f"expected profiles of one reference, found the cells {shapes[0]} and {shapes[1]}")
    return Profile(rows, tuple(by(x, y) for x, y in zip(a.counts, b.counts, strict=True)))


def _fold_chunk(reference: ReferenceProfile, values: NDArray[np.float64]) -> Profile:
    numeric = [i for i, feature in enumerate(reference.features) if feature.kind == "numeric"]
    ordered = dict(zip(numeric, sorted_columns(values[:, numeric]), strict=True))
    counts = [
        numeric_counts(ordered[i], feature.edges)
        if feature.kind == "numeric"
        else categorical_counts(values[:, i], len(feature.categories))
        for i, feature in enumerate(reference.features)
    ]
    return Profile(len(values), tuple(counts))
