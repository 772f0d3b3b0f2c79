"""Which rows are held out, decided by what they are and never by where they happen to lie."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import ValidationError

__all__ = ["hashed_fraction", "holdout_mask", "newest_mask"]


def hashed_fraction(keys: Sequence[str], *, salt: str = "") -> NDArray[np.float64]:
    """A number in [0, 1) per key, uniform over keys and the same in every process (blake2b, 53 bits).

    >>> hashed_fraction(["a", "b", "a"]).round(3).tolist()
    [0.758, 0.599, 0.758]
    """
    prefix = blake2b(f"{salt}\0".encode("utf-8", "surrogatepass"), digest_size=8)
    digests = bytearray()
    for key in keys:
        state = prefix.copy()
        state.update(key.encode("utf-8", "surrogatepass"))
        digests += state.digest()
    whole = np.frombuffer(bytes(digests), dtype=">u8")
    return (whole >> np.uint64(11)).astype(np.float64) / 2.0**53


def holdout_mask(keys: Sequence[str], fraction: float, salt: str = "holdout") -> NDArray[np.bool_]:
    """Whether each row is held out; rows of one key go together, and a key never changes sides as data grows.

    >>> int(holdout_mask([f"customer-{i}" for i in range(1000)], 0.2).sum())
    218
    """
    return hashed_fraction(keys, salt=salt) < fraction


def newest_mask(times: NDArray[Any], fraction: float) -> NDArray[np.bool_]:
    """Whether each row is among the newest `fraction`; rows of the same moment go together.

    The cut lies at the border between two moments that comes nearest, with rows on both sides.

    Args:
        times: (n,), datetime64 or numbers.
        fraction: between 0 and 1.

    Raises:
        ValidationError: a missing time, or fewer than two different moments.

    >>> newest_mask(np.array([1, 5, 3, 3, 2]), 0.2).tolist()
    [False, True, False, False, False]
    """
    missing = int(np.isnan(times).sum())
    if missing:
        raise ValidationError(f"expected a time in every row to split by time, found {missing:,} without")
    moments, counts = np.unique(times, return_counts=True)
    if len(moments) < 2:
        raise ValidationError(f"expected rows of two moments at least to split by time, found {len(moments)}")
    older = np.cumsum(counts)[:-1]  # rows before each possible border
    border = int(np.argmin(np.abs(older - (1.0 - fraction) * len(times))))
    return np.asarray(times > moments[border])
