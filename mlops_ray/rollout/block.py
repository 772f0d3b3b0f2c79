"""What requests said about a new version since the last look: the block of evidence that a rollout is fed with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlops_ray.errors import RolloutError

__all__ = ["Block"]


@dataclass(frozen=True)
class Block:
    """What happened since the last look under one route epoch, on both sides, over the same time.

    Two rules make the sides comparable; the tests of a rollout are right only where both are kept:

    - A bad event belongs to a request of the same block, and counts once for each unit: the first bad request of the
      unit in this delivery, on whichever side. A client that retries is one event, and a unit that failed on the
      champion before the share grew does not count again because the canary meets it now. Further bad requests of units
      that have been counted are `*_repeated_*`: they never speak for a rollback, but a share of bad requests that is
      too large must not look fine because few units make them.
    - In an epoch with a share, `canary_requests` are those of the units on the canary, and copies of a shadow are left
      out. In an epoch of share 0 they are copies all of them, and `champion_requests` are all the champion's.

    Raises:
        RolloutError: a count that cannot be: negative, or more bad events than requests.
    """

    canary_requests: int
    """Answered or failed requests on the new version's side; a request that the champion had to answer is an error."""
    champion_requests: int
    canary_errors: int
    champion_errors: int
    canary_slow: int
    """Above the latency objective; not looked at for copies, which nobody waits for."""
    champion_slow: int
    canary_repeated_errors: int = 0
    canary_repeated_slow: int = 0
    champion_repeated_errors: int = 0
    """Where these are not counted, what the canary's units repeat delays a promotion more than it has to."""
    champion_repeated_slow: int = 0
    quantiles: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By quantile of the champion's time in the model ("p95"): units first seen above it, on (canary, champion); the
    canary's threshold is shifted by what is no harm."""
    timed: tuple[int, int] = (0, 0)
    """Requests on (canary, champion) that were compared with the thresholds; (0, 0) as long as there are none."""
    scores: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    """Units seen first on (canary, champion), by bin of their first score; of copies, what both versions said of one
    row. No bins as long as there are none."""
    paired: tuple[int, int] = (0, 0)
    """(requests scored by both versions, of them disagreeing)."""
    units: tuple[int, int] = (0, 0)
    """Units seen first in this epoch on (canary, champion), for `sample_ratio_mismatch` on totals of the epoch; part of
    no verdict. Not for share 0 or 1."""
    share: float = 0.0
    """Share of the units that should meet the canary in this epoch; 0: its requests are copies."""

    def __post_init__(self) -> None:
        for side in ("canary", "champion"):
            for bad in ("errors", "slow"):
                self._check_bad(side, bad)
        for name, above in self.quantiles.items():
            _check_within(f"quantiles[{name!r}]", above, "timed", self.timed)
        for name in ("timed", "paired", "units"):
            _check_counts(name, getattr(self, name))
        _check_within("paired disagreements", self.paired[1:], "paired requests", self.paired[:1])
        canary, champion = self.scores
        if len(canary) != len(champion):
            raise RolloutError(f"block: expected scores in as many bins on both sides, found {self.scores}")
        _check_counts("scores", (*canary, *champion))
        if not 0.0 <= self.share <= 1.0:
            raise RolloutError(f"block: expected a share between 0 and 1, found {self.share}")

    def _check_bad(self, side: str, bad: str) -> None:
        requests = getattr(self, f"{side}_requests")
        repeated = getattr(self, f"{side}_repeated_{bad}")
        count = getattr(self, f"{side}_{bad}") + repeated
        if not 0 <= repeated <= count <= requests:
            raise RolloutError(
                f"block: expected {side}_{bad} between 0 and {side}_requests ({requests}), found {count}; "
                "count a request and its outcome in the same block"
            )

    @property
    def canary_share(self) -> float:
        """Share of the requests that went to the canary; 0 in an empty block."""
        total = self.canary_requests + self.champion_requests
        return self.canary_requests / total if total else 0.0


def _check_counts(name: str, counts: tuple[int, ...]) -> None:
    if any(count < 0 for count in counts):
        raise RolloutError(f"block: expected counts of at least 0 in {name}, found {counts}")


def _check_within(name: str, parts: tuple[int, ...], of: str, wholes: tuple[int, ...]) -> None:
    if any(not 0 <= part <= whole for part, whole in zip(parts, wholes, strict=True)):
        raise RolloutError(f"block: expected {name} between 0 and {of} {wholes}, found {parts}")
