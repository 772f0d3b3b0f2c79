"""Quantiles of times from counts in bins that grow by a constant ratio: bounded, and the same in whatever order."""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["TimeSketch"]

_SMALLEST_MS = 1e-3
_RATIO = 1.02
_BINS = math.ceil(math.log(1e7 / _SMALLEST_MS) / math.log(_RATIO))  # up to almost three hours


class TimeSketch:
    """Times in milliseconds, to 2 % of each (after DDSketch: Masson, Rim, Lee, VLDB 2019)."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, dtype=np.int64)

    def __len__(self) -> int:
        """Times taken in."""
        return int(self._counts.sum())

    def add(self, times_ms: NDArray[np.float64]) -> None:
        """Take in times (n,); shorter and longer ones than the bins reach count in the outermost."""
        logs = np.log(np.maximum(times_ms, _SMALLEST_MS) / _SMALLEST_MS) / math.log(_RATIO)
        self._counts += np.bincount(np.minimum(logs.astype(np.int64), _BINS - 1), minlength=_BINS)

    def quantile(self, share: float) -> float:
        """The upper edge of the bin that holds the quantile: at least `share` of the times are not above it.

        >>> sketch = TimeSketch()
        >>> sketch.add(np.arange(1.0, 101.0))
        >>> round(sketch.quantile(0.5), 1), round(sketch.quantile(0.99), 1)
        (50.2, 99.7)
        """
        bin = int(np.searchsorted(self._counts.cumsum(), share * len(self), side="left"))
        return _SMALLEST_MS * float(_RATIO ** (bin + 1))
