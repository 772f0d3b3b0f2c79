"""Looks for broken columns in the newest rows, and remembers for how long they bend the windows."""

from collections.abc import Collection, Sequence

from mlops_ray.drift import Persistence, Profile, QualityProblem, ReferenceProfile, check_quality
from mlops_ray.monitor.panes import Panes
from mlops_ray.spec import Monitor

__all__ = ["QualityJudge"]


class QualityJudge:
    """One for each champion. It looks at the newest rows before they are mixed with older ones, at all that came since
    the look before, whose rows may be late, and at the window, whose rows are to be judged for drift."""

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
        limits, size_s = self._monitor.quality, self._monitor.window.size_s
        since_s, newest = panes.newest(limits.min_rows, now_s)
        newest_s, fresh = max(now_s - since_s, panes.pane_s), panes.take_fresh(limits.min_rows)
        if not limits.enabled or (newest.rows < limits.min_rows and fresh is None):
            return newest, newest_s, ()
        found: dict[str, QualityProblem] = {}
        shown: tuple[Profile, float] | None = None
        looked_at = [(newest, newest_s), (fresh, size_s), (panes.window(now_s), size_s)]
        for place, (profile, looked_s) in enumerate(looked_at):
            problems = check_quality(self._reference, profile, limits, features=features) if profile is not None else ()
            if problems and profile is not None and shown is None:
                shown = profile, looked_s
            found = {problem.feature: problem for problem in problems} | found
            if place < len(looked_at) - 1:
                # What only the window shows came before, and leaves it sooner.
                self._broken_s |= dict.fromkeys((problem.feature for problem in problems), now_s)
        self._persistence, _, _ = self._persistence.judged(
            {name: name in found for name in features}, persist=limits.persist
        )
        profile, looked_s = shown or (newest, newest_s)
        return profile, looked_s, tuple(found[name] for name in features if name in found)

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
