"""The phases of a rollout.

WAITING -> STARTING -> CANARY -> PROMOTING -> COMPLETED
   |          |        |    ^        |
   |          |        v    |        |
   |          |       PAUSED         |
   v          v        v             v
ABORTED       +---- ROLLING_BACK ----+  -> ROLLED_BACK

All at once, a strategy that asks for no evidence, goes from STARTING to PROMOTING.
"""

from enum import StrEnum

__all__ = ["Phase"]


class Phase(StrEnum):
    """Where a rollout stands."""

    WAITING = "WAITING"
    """For approval; nothing is deployed."""
    STARTING = "STARTING"
    """Canary replicas come up; their share is 0."""
    CANARY = "CANARY"
    """Under evidence, whatever the strategy: the version has a share of the units, all of them, or copies only."""
    PAUSED = "PAUSED"
    """As CANARY, but waiting for a person; only a failing canary still moves it."""
    PROMOTING = "PROMOTING"
    """The champion's replicas take the new version over."""
    COMPLETED = "COMPLETED"
    """The new version is the champion."""
    ROLLING_BACK = "ROLLING_BACK"
    """The share is 0 and on its way to every replica."""
    ROLLED_BACK = "ROLLED_BACK"
    """No unit meets the version any more."""
    ABORTED = "ABORTED"
    """Given up before anything was deployed."""

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return self in (Phase.COMPLETED, Phase.ROLLED_BACK, Phase.ABORTED)
