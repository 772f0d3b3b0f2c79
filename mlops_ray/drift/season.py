"""Which hour of a day or a week a row belongs to, so that a window is held against the same hours of the reference."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Season", "season_of"]

_DAY_S = 86_400.0
_HOUR_S = 3_600.0
_MIN_PERIODS = {_DAY_S: 3, 7 * _DAY_S: 4}
_MIN_ROWS = 200  # of each hour
_MOST_CELLS = 400_000  # of a reference: its JSON stays below 2 MB


@dataclass(frozen=True)
class Season:
    """A period of `slots` equal parts that begins with the Unix epoch (a Thursday, midnight UTC)."""

    period_s: float
    slots: int

    def slot_of(self, times_s: NDArray[np.float64]) -> NDArray[np.int64]:
        """The slot 0 .. slots - 1 of each Unix time (n,).

        >>> Season(86400.0, 24).slot_of(np.array([0.0, 3600.0, 86399.0, 86400.0])).tolist()
        [0, 1, 23, 0]
        """
        slots = np.floor(times_s % self.period_s / (self.period_s / self.slots)).astype(np.int64)
        return np.minimum(slots, self.slots - 1)

    def counts(self, times_s: NDArray[np.float64]) -> NDArray[np.int64]:
        """Rows of each slot (slots,)."""
        return np.bincount(self.slot_of(times_s), minlength=self.slots).astype(np.int64)

    @classmethod
    def from_json(cls, content: Mapping[str, Any] | None) -> Self | None:
        """The inverse of `dataclasses.asdict`; None stays None."""
        return None if content is None else cls(float(content["period_s"]), int(content["slots"]))


def season_of(times_s: NDArray[np.float64], *, columns: int, cells: int = 65) -> Season | None:
    """Hours of the week where the times (n,) cover four weeks, hours of the day where three days, else None.

    Each hour that has rows needs 200 of them, and `columns` of `cells` must not make the reference too large.
    """
    if not len(times_s):
        return None
    span_s = float(times_s.max() - times_s.min())
    for period_s, periods in sorted(_MIN_PERIODS.items(), reverse=True):
        season = Season(period_s, round(period_s / _HOUR_S))
        rows = season.counts(times_s)
        enough = (rows[rows > 0] >= _MIN_ROWS).all()
        if span_s >= periods * period_s - _HOUR_S and enough and season.slots * columns * cells <= _MOST_CELLS:
            return season
    return None
