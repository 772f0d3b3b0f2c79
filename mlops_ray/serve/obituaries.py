"""Counts the replicas of a version's application that died, also while the cluster does not tell; knows no Ray."""

from collections import Counter
from collections.abc import Callable, Collection

__all__ = ["Obituaries"]


class Obituaries:
    """Deaths by application.

    `dead` says how many replicas of an application died by themselves, ever; None when nobody says. The cluster knows
    of every dead actor why it died, but not whether Serve ended it because it was one too many, or because it failed
    its health checks: those are counted as often as the application was seen to become unhealthy.
    """

    def __init__(self, dead: Callable[[str], int | None]) -> None:
        self._dead = dead
        self._before: dict[str, int] = {}
        self._since: dict[str, int] = {}
        self._ill: frozenset[str] = frozenset()
        self._fell_ill: Counter[str] = Counter()

    def begin(self, app: str) -> None:
        """An application is opened: who died under its name before does not count."""
        self._since.pop(app, None)
        self._fell_ill.pop(app, None)
        before = self._dead(app)
        if before is None:
            self._before.pop(app, None)  # the first answer will be taken for it
        else:
            self._before[app] = before

    def look(self, unhealthy: Collection[str]) -> None:
        """Take note of which applications are unhealthy at the moment."""
        self._fell_ill.update(set(unhealthy) - self._ill)
        self._ill = frozenset(unhealthy)

    def deaths(self, app: str) -> int:
        """Deaths since `begin`, or since this was first asked; never less than before."""
        dead = self._dead(app)
        if dead is not None:
            since = dead - self._before.setdefault(app, dead)
            self._since[app] = max(since, self._since.get(app, 0))
        return max(self._since.get(app, 0), self._fell_ill[app])
