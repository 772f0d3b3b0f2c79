"""Looks for broken columns in the newest rows, and remembers for how long they bend the windows."""

from collections.abc import Collection, Sequence

from mlops_ray.drift import Persistence, Profile, QualityProblem, ReferenceProfile, check_quality
from mlops_ray.monitor.panes import Panes
from mlops_ray.spec import Monitor

__all__ = ["QualityJudge"]


class QualityJudge:
    """One for each champion. It needs few rows, so it looks at the time since the look before where it can."""

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
        limits = self._monitor.quality
        size_s, profile = self._looked_at(panes, now_s)[-1]
        if not limits.enabled or profile.rows < limits.min_rows:
            return profile, size_s, ()
        problems: tuple[QualityProblem, ...] = ()
        for looked_s, rows in self._looked_at(panes, now_s):
            problems = check_quality(self._reference, rows, limits, features=features)
            if problems:
                size_s, profile = looked_s, rows
                break
        found = {problem.feature for problem in problems}
        self._persistence, _, _ = self._persistence.judged(
            {name: name in found for name in features}, persist=limits.persist
        )
        self._broken_s |= dict.fromkeys(found, now_s)
        return profile, size_s, problems

    def _looked_at(self, panes: Panes, now_s: float) -> list[tuple[float, Profile]]:
        """The newest pane, the time since the look before, or all of the window: the shortest that have enough rows.

        The shorter one shows what is broken before it is mixed with what came before.
        """
        window = self._monitor.window
        short = [(size_s, panes.window(now_s, size_s=size_s)) for size_s in (0.0, window.every_s)]
        enough = [(size_s, profile) for size_s, profile in short if profile.rows >= self._monitor.quality.min_rows]
        return enough or [(window.size_s, panes.window(now_s))]

    @property
    def raised(self) -> frozenset[str]:
        """Columns that people are to be told of."""
        return self._persistence.raised

    def broken(self, now_s: float) -> frozenset[str]:
        """Columns with broken rows in the sliding window."""
        size_s = self._monitor.window.size_s
        recent = {name for name, time_s in self._broken_s.items() if now_s - time_s <= size_s}
        return self._persistence.raised | recent
