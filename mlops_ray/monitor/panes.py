"""A sliding window of profiles: a ring of short panes, each a merged profile."""

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift import Profile, ReferenceProfile, empty, fold, merge

__all__ = ["Panes"]

_PANES = 20


class Panes:
    """The profiles of the newest `size_s` seconds; older panes fall out, so memory is bounded."""

    def __init__(self, reference: ReferenceProfile, *, size_s: float) -> None:
        self._reference = reference
        self._size_s = size_s
        self._pane_s = size_s / _PANES
        self._panes: dict[int, Profile] = {}

    def add(self, time_s: float, profile: Profile) -> None:
        """Merge a profile of rows served at about `time_s`."""
        pane = int(time_s // self._pane_s)
        known = self._panes.get(pane)
        self._panes[pane] = profile if known is None else merge(known, profile)
        self._forget(max(self._panes) - _PANES)

    def add_rows(self, matrix: NDArray[np.float64], times_s: NDArray[np.float64]) -> None:
        """Fold rows (n, d), served at `times_s` (n,) in any order, each into the pane of its time."""
        panes = times_s // self._pane_s
        for pane in np.unique(panes):
            rows = panes == pane
            self.add(float(times_s[rows][0]), fold(self._reference, matrix[rows]))

    def window(self, now_s: float) -> Profile:
        """Everything of the last `size_s` seconds, to the precision of a pane."""
        self._forget(int((now_s - self._size_s) // self._pane_s))
        return reduce(merge, self._panes.values(), empty(self._reference))

    def _forget(self, oldest: int) -> None:
        self._panes = {pane: profile for pane, profile in self._panes.items() if pane >= oldest}
