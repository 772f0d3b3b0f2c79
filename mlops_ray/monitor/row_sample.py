"""A few rows of everything that was served lately, for what counts of single columns cannot say."""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

__all__ = ["RowSample"]

_PIECES = 48
_AT_ONCE = 64

Floats = NDArray[np.float64]


class RowSample:
    """Rows of the last `span_s` seconds, about twice `rows` in all, evenly over its 48 parts."""

    def __init__(self, *, span_s: float, rows: int, seed: int) -> None:
        self._piece_s = span_s / _PIECES
        self._rows = max(1, math.ceil(2 * rows / _PIECES))
        self._random = np.random.default_rng(seed)
        self._pieces: dict[int, deque[Floats]] = {}
        self._met: dict[int, int] = {}

    def choose(self, count: int) -> NDArray[np.int64]:
        """Which of `count` rows are worth being shown to `add`, in order."""
        return np.sort(self._random.permutation(count)[:_AT_ONCE])

    def add(self, time_s: float, rows: Floats) -> None:
        """Take in rows (n, d) served at about `time_s`; each of a piece is kept with the same chance (Vitter, 1985)."""
        piece = int(time_s // self._piece_s)
        kept = self._pieces.setdefault(piece, deque())
        for row in rows:
            met = self._met[piece] = self._met.get(piece, 0) + 1
            if len(kept) < self._rows:
                kept.append(row)
            elif (place := int(self._random.integers(met))) < self._rows:
                kept[place] = row
        oldest = max(self._pieces) - _PIECES
        self._pieces = {number: rows for number, rows in self._pieces.items() if number > oldest}
        self._met = {number: met for number, met in self._met.items() if number > oldest}

    def covers(self, now_s: float) -> bool:
        """Whether all of the span was seen, but for a tenth."""
        return bool(self._pieces) and min(self._pieces) <= now_s // self._piece_s - 0.9 * _PIECES

    def rows(self, count: int) -> Floats:
        """At most `count` of the rows (n, d), by chance."""
        rows = [row for piece in sorted(self._pieces) for row in self._pieces[piece]]
        if not rows:
            return np.empty((0, 0))
        return np.array(rows)[np.sort(self._random.permutation(len(rows))[:count])]
