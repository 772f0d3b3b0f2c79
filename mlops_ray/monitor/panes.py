"""Windows of served traffic by event time: short panes for the sliding one, hours and days for what lies behind.

A profile belongs to the pane, the hour and the day of its own time, however late it comes, as long as these are kept:
the minutes of the sliding window, 48 hours, 31 days. What is older is counted and left out. The watermark
is the newest time seen less the lateness: an hour that ends before it is closed, and goes into the checkpoint.
"""

import struct
from collections.abc import Iterable
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift import Profile, ReferenceProfile, empty, fold, merge
from mlops_ray.errors import ValidationError

__all__ = ["Panes"]

_PANES = 20  # of a sliding window, at least
_LONGEST_S = 60.0
_HOUR_S = 3_600.0
_DAY_HOURS = 24
_HOURS = 48
_DAYS = 31
_LATE_S = 600.0
_MAGIC = b"MRW1"
_HEADER = struct.Struct("<4sqI")  # magic, first hour that is not in it, number of profiles
_ENTRY = struct.Struct("<cqI")  # h or d, number of the hour or day, bytes


class Panes:
    """Bounded memory: a profile for each minute of the sliding window, each hour of two days, and each day of 31."""

    def __init__(self, reference: ReferenceProfile, *, size_s: float, late_s: float = _LATE_S) -> None:
        """`size_s` is the length of the sliding window; later than `late_s` after the newest a row is late."""
        self._reference = reference
        self._size_s = size_s
        self._late_s = late_s
        self._pane_s = min(_LONGEST_S, size_s / _PANES)
        self._kept = int(np.ceil(size_s / self._pane_s))
        self._panes: dict[int, Profile] = {}
        self._hours: dict[int, Profile] = {}
        self._days: dict[int, Profile] = {}
        self._newest_s = -np.inf
        self._fresh = empty(reference)
        self._closed_hour = 0
        self.late_rows = 0
        """Rows that came after their hour had closed, or too late for any window."""

    @property
    def watermark_s(self) -> float:
        """No row before it is waited for."""
        return self._newest_s - self._late_s

    @property
    def state(self) -> tuple[int, int]:
        """The first hour that is open, and late rows: as long as they are the same, so is the checkpoint."""
        closed = int(self.watermark_s // _HOUR_S) if np.isfinite(self._newest_s) else 0
        return max(closed, self._closed_hour), self.late_rows

    @property
    def refold_from_s(self) -> float:
        """Rows from this time on are in no hour of the checkpoint that was restored."""
        return self._closed_hour * _HOUR_S

    def add(self, time_s: float, profile: Profile) -> None:
        """Merge a profile of rows served at about `time_s`."""
        self._add(time_s, profile, hours=True)

    def _add(self, time_s: float, profile: Profile, *, hours: bool) -> None:
        self._newest_s = max(self._newest_s, time_s)
        self._fresh = merge(self._fresh, profile)
        hour = int(time_s // _HOUR_S)
        if (hour + 1) * _HOUR_S <= self.watermark_s:
            self.late_rows += profile.rows
        _merge_into(self._panes, int(time_s // self._pane_s), profile)
        if hours:
            self._add_to_hour(hour, profile)
        self._forget()

    def add_rows(self, matrix: NDArray[np.float64], times_s: NDArray[np.float64]) -> None:
        """Fold recorded rows (n, d), served at `times_s` (n,) in any order, each into the pane of its time.

        Those before `refold_from_s` are in their hours already.
        """
        panes = times_s // self._pane_s
        for pane in np.unique(panes):
            rows = panes == pane
            time_s = float(times_s[rows][0])
            self._add(time_s, fold(self._reference, matrix[rows], times_s[rows]), hours=time_s >= self.refold_from_s)

    @property
    def pane_s(self) -> float:
        """How precisely a window begins, in seconds."""
        return self._pane_s

    def newest(self, rows: int, now_s: float) -> tuple[float, Profile]:
        """The newest panes of the sliding window that have `rows` rows together, and since when; all where it has
        fewer."""
        found, since = empty(self._reference), int(now_s // self._pane_s)
        for pane in sorted(self._panes, reverse=True):
            if found.rows >= rows or pane < int((now_s - self._size_s) // self._pane_s):
                break
            found, since = merge(found, self._panes[pane]), pane
        return since * self._pane_s, found

    def take_fresh(self, rows: int) -> Profile | None:
        """All that came since this gave something last, however late; None, and it waits, while it is fewer rows."""
        if self._fresh.rows < rows:
            return None
        taken, self._fresh = self._fresh, empty(self._reference)
        return taken

    def window(self, now_s: float, *, size_s: float | None = None) -> Profile:
        """Everything of the last `size_s` seconds, the sliding window's by default, to the precision of a pane."""
        asked_s = self._size_s if size_s is None else min(size_s, self._size_s)
        oldest = int((now_s - asked_s) // self._pane_s)
        return self._merged(profile for pane, profile in self._panes.items() if pane >= oldest)

    def hours(self) -> dict[float, Profile]:
        """The hours of the last two days by the time at which they begin, oldest first; the newest may be open."""
        return {hour * _HOUR_S: self._hours[hour] for hour in sorted(self._hours)}

    def days(self) -> dict[float, Profile]:
        """The days (UTC) by the time at which they begin, oldest first, up to the newest hour."""
        days = dict(self._days)
        for hour in sorted(self._hours):
            _merge_into(days, hour // _DAY_HOURS, self._hours[hour])
        return {day * _DAY_HOURS * _HOUR_S: days[day] for day in sorted(days)}

    # -- over restarts -------------------------------------------------------------------------------------------------

    def checkpoint(self) -> bytes:
        """Hours that are closed, and days: with the records since then, all that a new process needs."""
        closed, _ = self.state
        entries = [(b"h", hour, profile) for hour, profile in sorted(self._hours.items()) if hour < closed]
        entries += [(b"d", day, profile) for day, profile in sorted(self._days.items())]
        parts = [_HEADER.pack(_MAGIC, closed, len(entries))]
        for kind, number, profile in entries:
            data = profile.to_bytes()
            parts += [_ENTRY.pack(kind, number, len(data)), data]
        return b"".join(parts)

    def restore(self, data: bytes) -> None:
        """Take up a checkpoint, before anything is added; rows from `refold_from_s` on are to be added then.

        Raises:
            ValidationError: it is none, or of another reference.
        """
        hours: dict[int, Profile] = {}
        days: dict[int, Profile] = {}
        try:
            magic, closed, count = _HEADER.unpack_from(data)
            at = _HEADER.size
            for _ in range(count if magic == _MAGIC else 1 << 32):
                kind, number, size = _ENTRY.unpack_from(data, at)
                profile = Profile.from_bytes(data[at + _ENTRY.size : at + _ENTRY.size + size])
                (hours if kind == b"h" else days)[number] = merge(profile, empty(self._reference))
                at += _ENTRY.size + size
        except struct.error as error:
            raise ValidationError(f"expected a checkpoint of windows, found {len(data)} other bytes") from error
        self._hours, self._days, self._closed_hour = hours, days, closed

    # ------------------------------------------------------------------------------------------------------------------

    def _add_to_hour(self, hour: int, profile: Profile) -> None:
        if hour > max(self._hours, default=hour) - _HOURS:
            _merge_into(self._hours, hour, profile)
        elif hour // _DAY_HOURS > self._newest_s // (_DAY_HOURS * _HOUR_S) - _DAYS:
            _merge_into(self._days, hour // _DAY_HOURS, profile)

    def _forget(self) -> None:
        oldest = int(self._newest_s // self._pane_s) - self._kept
        self._panes = {pane: profile for pane, profile in self._panes.items() if pane >= oldest}
        for hour in [hour for hour in self._hours if hour <= max(self._hours) - _HOURS]:
            _merge_into(self._days, hour // _DAY_HOURS, self._hours.pop(hour))
        oldest_day = int(self._newest_s // (_DAY_HOURS * _HOUR_S)) - _DAYS
        self._days = {day: profile for day, profile in self._days.items() if day > oldest_day}

    def _merged(self, profiles: Iterable[Profile]) -> Profile:
        return reduce(merge, profiles, empty(self._reference))


def _merge_into(known: dict[int, Profile], key: int, profile: Profile) -> None:
    known[key] = merge(known[key], profile) if key in known else profile
