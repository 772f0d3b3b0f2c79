"""Arrays of numbers as bytes, whole numbers in as few bytes as the largest of them needs."""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import ValidationError

__all__ = ["packed", "unpacked"]

_MAGIC = b"MRP2"
_HEADER = struct.Struct("<4sqB")  # magic, rows, number of arrays
_ARRAY = struct.Struct("<cI")  # type, length
_TYPES = {b"1": "<u1", b"2": "<u2", b"4": "<u4", b"8": "<i8", b"f": "<f8"}
_LIMITS = ((b"1", 1 << 8), (b"2", 1 << 16), (b"4", 1 << 32))
_BEFORE = b"MRP1"
_BEFORE_HEADER = struct.Struct("<4sqI")  # magic, rows, number of features; then lengths <u4, then cells <i8


def packed(rows: int, arrays: Sequence[NDArray[Any]]) -> bytes:
    """A count of rows and some arrays (any shape) of int64 or float64."""
    parts = [_HEADER.pack(_MAGIC, rows, len(arrays))]
    for array in arrays:
        kind = _type_of(array)
        parts += [_ARRAY.pack(kind, array.size), array.astype(_TYPES[kind]).tobytes()]
    return b"".join(parts)


def unpacked(data: bytes) -> tuple[int, list[NDArray[Any]]]:
    """The inverse of `packed`, all arrays flat; of bytes that begin with MRP1 two arrays: lengths and cells.

    Raises:
        ValidationError: the bytes are something else, or not whole.
    """
    try:
        return _unpacked(data)
    except (struct.error, ValueError, KeyError):
        raise ValidationError(f"expected the bytes of a profile, found {len(data)} bytes that are not one") from None


def _unpacked(data: bytes) -> tuple[int, list[NDArray[Any]]]:
    if data.startswith(_BEFORE):
        return _unpacked_before(data)
    magic, rows, count = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise ValueError
    arrays, at = [], _HEADER.size
    for _ in range(count):
        kind, size = _ARRAY.unpack_from(data, at)
        arrays.append(np.frombuffer(data, _TYPES[kind], size, at + _ARRAY.size))
        at += _ARRAY.size + arrays[-1].nbytes
    if at != len(data):
        raise ValueError
    return rows, arrays


def _unpacked_before(data: bytes) -> tuple[int, list[NDArray[Any]]]:
    _, rows, features = _BEFORE_HEADER.unpack_from(data)
    lengths = np.frombuffer(data, "<u4", features, _BEFORE_HEADER.size)
    cells_at = _BEFORE_HEADER.size + lengths.nbytes
    cells = np.frombuffer(data, "<i8", int(lengths.sum()), cells_at)
    if cells_at + cells.nbytes != len(data):
        raise ValueError
    return rows, [lengths, cells]


def _type_of(array: NDArray[Any]) -> bytes:
    if array.dtype.kind == "f":
        return b"f"
    if array.size and array.min() < 0:
        return b"8"
    largest = int(array.max()) if array.size else 0
    return next((kind for kind, limit in _LIMITS if largest < limit), b"8")
