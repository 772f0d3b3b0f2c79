"""Looks for broken columns in the newest rows, and remembers for how long they bend the windows."""

from collections.abc import Collection, Sequence

from mlops_ray.drift import Persistence, Profile, QualityProblem, ReferenceProfile, check_quality
from mlops_ray.monitor.panes import Panes
from mlops_ray.spec import Monitor

__all__ = ["QualityJudge"]


class QualityJudge:
    """One for each champion. It needs few rows, so it looks at the newest ones, before they are mixed with older."""

    def __init__(
        self, monitor: Monitor, reference: ReferenceProfile, *, open_on: Collection[str], now_s: float
    ) -> None:
        """`open_on` are the features of an alert that is open already."""
        self._monitor = monitor
        self._reference = reference
        kept = monitor.quality.persist[1]
        self._persistence = Persistence({name: (True,) * kept for name in open_on}, frozenset(open_on))
        self._broken_s = dict.fromkeys(open_on, now_s)

    def judge(
        self, panes: Panes, now_s: float, features: Sequence[str]
    ) -> tuple[Profile, float, tuple[QualityProblem, ...]]:
        """Look once more: (the rows that were looked at, of how many seconds, what is broken in them)."""
        limits, window = self._monitor.quality, self._monitor.window
        since_s, profile = panes.newest(limits.min_rows, now_s)
        size_s = max(now_s - since_s, panes.pane_s)
        if not limits.enabled or profile.rows < limits.min_rows:
            return profile, size_s, ()
        problems = check_quality(self._reference, profile, limits, features=features)
        if not problems and size_s < window.every_s:
            size_s, profile = window.every_s, panes.window(now_s, size_s=window.every_s)
            problems = check_quality(self._reference, profile, limits, features=features)
        found = {problem.feature for problem in problems}
        self._persistence, _, _ = self._persistence.judged(
            {name: name in found for name in features}, persist=limits.persist
        )
        self._broken_s |= dict.fromkeys(found, now_s)
        return profile, size_s, problems

    @property
    def raised(self) -> frozenset[str]:
        """Columns that people are to be told of."""
        return self._persistence.raised

    def broken(self, panes: Panes, now_s: float) -> frozenset[str]:
        """Columns with broken rows in the sliding window: they may have come until the look after the last that saw
        some, and the window begins to the precision of a pane."""
        reach_s = self._monitor.window.size_s + self._monitor.window.every_s + panes.pane_s
        recent = {name for name, time_s in self._broken_s.items() if now_s - time_s <= reach_s}
        return self._persistence.raised | recent
