"""A sliding window of profiles: a ring of short panes, each a merged profile."""

from functools import reduce

from mlops_ray.drift import Profile, ReferenceProfile, empty, merge

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

    def window(self, now_s: float) -> Profile:
        """Everything of the last `size_s` seconds."""
        oldest = int((now_s - self._size_s) // self._pane_s)
        self._panes = {pane: profile for pane, profile in self._panes.items() if pane >= oldest}
        return reduce(merge, self._panes.values(), empty(self._reference))
