"""What a rollout can find, and how soon: to choose shares and times before it starts, and to read what it did not find.

For one alternative of the mixture, the log of its process grows with each canary request by a mean g and a variance v
that follow from the rates; n requests find the alternative with chance Phi(z) about where
n g - z sqrt(n v) = log(1 / level) + log(alternatives), the last term being the price of the mixture. The best
alternative counts. Since a verdict needs a few bad events, their Poisson quantile is a lower limit.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainccinv

from mlops_ray.errors import RolloutError
from mlops_ray.rollout.budget import Budget
from mlops_ray.rollout.event_metrics import MIN_BAD_EVENTS
from mlops_ray.rollout.harm import half_width, information_for
from mlops_ray.rollout.mixture import EXCESS_GRID, RATIO_GRID
from mlops_ray.spec import Rollout

__all__ = [
    "DetectableRate",
    "LabelsNeeded",
    "RequestsNeeded",
    "labels_to_detect",
    "requests_to_detect",
    "smallest_detectable",
]

_MOST = 0.9
_RUNS, _LOOKS = 400, 240
_LONGEST = 1e12  # requests; what needs more is not found
_Z = NormalDist().inv_cdf(_MOST)


@dataclass(frozen=True)
class RequestsNeeded:
    """Canary requests after which a difference is found."""

    expected: int
    """By the expected growth of the evidence."""
    half: int
    """In half of 400 simulated rollouts."""
    most: int
    """In nine of ten of them."""


@dataclass(frozen=True)
class LabelsNeeded:
    """Labelled units on each side after which a difference of means is found."""

    canary: int
    """Where the limits are as far from the estimate as the difference is large: found in half of the rollouts."""
    champion: int
    canary_most: int
    """For nine of ten rollouts."""
    champion_most: int


@dataclass(frozen=True)
class DetectableRate:
    """The smallest rate of bad events that a number of requests finds in half of all rollouts."""

    canary_rate: float
    champion_rate: float
    """As it was seen; half an event is added so that it is never 0."""

    @property
    def ratio(self) -> float:
        """The canary's rate over the champion's."""
        return self.canary_rate / self.champion_rate


def requests_to_detect(
    champion_rate: float, canary_rate: float, *, share: float, rollout: Rollout, seed: int = 0
) -> RequestsNeeded | None:
    """Canary requests until a rate of bad events on the canary is found at a fixed share; None where it never is.

    At share 1 the champion's rate does not matter, and the canary's is held against `max_bad_share`.

    Raises:
        RolloutError: a rate outside of 0 to 1, or a share outside of it or 0.

    >>> requests_to_detect(0.01, 0.05, share=0.05, rollout=Rollout())
    RequestsNeeded(expected=154, half=119, most=292)
    """
    if not (0.0 <= champion_rate <= 1.0 and 0.0 <= canary_rate <= 1.0 and 0.0 < share <= 1.0):
        raise RolloutError(
            f"power: expected rates between 0 and 1 and a share above 0, found {champion_rate:g}, {canary_rate:g} and "
            f"share {share:g}"
        )
    growth = _Growth.of(champion_rate, canary_rate, share, rollout)
    expected = growth.requests(0.0)
    if expected is None:
        return None
    half, most = growth.simulated(expected, np.random.default_rng(seed))
    return RequestsNeeded(expected=math.ceil(expected), half=math.ceil(half), most=math.ceil(most))


def labels_to_detect(effect: float, sd: float, *, share: float, rollout: Rollout) -> LabelsNeeded:
    """Labelled units until a difference of means of `effect` is found, for values of standard deviation `sd`.

    Raises:
        RolloutError: an effect or standard deviation that is not above 0, or a share that leaves one side empty.

    >>> labels_to_detect(0.02, 0.4, share=0.5, rollout=Rollout())
    LabelsNeeded(canary=7402, champion=7402, canary_most=15217, champion_most=15217)
    """
    if not (effect > 0.0 and sd > 0.0 and 0.0 < share < 1.0):
        raise RolloutError(
            f"power: expected an effect and a standard deviation above 0 and a share between 0 and 1, found "
            f"{effect:g}, {sd:g} and share {share:g}"
        )
    level = Budget.of(rollout).critical
    half = information_for(effect, effect, level)
    most = half
    while half_width(most, effect, level) + _Z / math.sqrt(most) > effect:
        most *= 1.001
    units = [math.ceil(information * sd**2 / (1.0 - share)) for information in (half, most)]
    others = [math.ceil(information * sd**2 / share) for information in (half, most)]
    return LabelsNeeded(units[0], others[0], units[1], others[1])


def smallest_detectable(
    canary_requests: int, champion_requests: int, *, champion_bad: int, rollout: Rollout
) -> DetectableRate | None:
    """The smallest bad rate of the canary that so many requests would have found; None where they find nothing.

    >>> found = smallest_detectable(2_000, 38_000, champion_bad=380, rollout=Rollout())
    >>> round(found.canary_rate, 4), round(found.ratio, 2)
    (0.0188, 1.88)
    """
    requests = canary_requests + champion_requests
    if not canary_requests:
        return None
    champion_rate = (champion_bad + 0.5) / (champion_requests + 1.0)
    share = canary_requests / requests

    def is_found(rate: float) -> bool:
        needed = _Growth.of(champion_rate, rate, share, rollout).requests(0.0)
        return needed is not None and needed <= canary_requests

    if not is_found(1.0):
        return None
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2.0
        low, high = (low, middle) if is_found(middle) else (middle, high)
    return DetectableRate(canary_rate=high, champion_rate=champion_rate)


@dataclass(frozen=True)
class _Growth:
    """The mixture's growth in canary requests, one entry for each alternative."""

    canary_event: NDArray[np.float64]
    """What a bad canary event adds to the logs."""
    champion_event: NDArray[np.float64]
    request: NDArray[np.float64]
    """What any canary request adds."""
    canary_rate: float
    champion_events: float
    """For each canary request."""
    log_needed: float

    @classmethod
    def of(cls, champion_rate: float, canary_rate: float, share: float, rollout: Rollout) -> "_Growth":
        log_needed = -math.log(Budget.of(rollout).critical)
        if share >= 1.0:
            odds = np.array(EXCESS_GRID)
            request = -np.log1p(rollout.analysis.max_bad_share * (odds - 1.0))
            return cls(np.log(odds), np.zeros_like(odds), request, canary_rate, 0.0, log_needed)
        ratios, null = np.array(RATIO_GRID), rollout.analysis.tolerated_ratio
        event = np.log((share * null + 1.0 - share) / (share * null * ratios + 1.0 - share))
        champion_events = champion_rate * (1.0 - share) / share
        return cls(np.log(ratios) + event, event, np.zeros_like(ratios), canary_rate, champion_events, log_needed)

    def requests(self, z: float) -> float | None:
        """Canary requests until the best alternative gets there with chance Phi(z)."""
        mean = self.canary_rate * self.canary_event + self.champion_events * self.champion_event + self.request
        variance = self.canary_rate * self.canary_event**2 + self.champion_events * self.champion_event**2
        growing = mean > 0.0
        if not growing.any() or self.canary_rate == 0.0:
            return None
        needed = self.log_needed + math.log(len(mean))
        root = (z * np.sqrt(variance[growing]) + np.sqrt(z**2 * variance[growing] + 4 * mean[growing] * needed)) / (
            2 * mean[growing]
        )
        events = gammainccinv(MIN_BAD_EVENTS, 1.0 - NormalDist().cdf(z))
        found = max(float(np.min(root**2)), float(events) / self.canary_rate)
        return found if found <= _LONGEST else None

    def simulated(self, expected: float, random: np.random.Generator) -> tuple[float, float]:
        """Canary requests after which half, and nine of ten, of the simulated rollouts have found it."""
        step = max(expected / (_LOOKS / 6), 1.0)
        bad = random.poisson(self.canary_rate * step, (_RUNS, _LOOKS)).cumsum(axis=1)[..., None]
        champion_bad = random.poisson(self.champion_events * step, (_RUNS, _LOOKS)).cumsum(axis=1)[..., None]
        requests = (step * np.arange(1, _LOOKS + 1))[None, :, None]
        logs = bad * self.canary_event + champion_bad * self.champion_event + requests * self.request
        log_e = np.logaddexp.reduce(logs, axis=2) - math.log(logs.shape[2])
        found = (log_e >= self.log_needed) & (bad[..., 0] >= MIN_BAD_EVENTS)
        first = np.where(found.any(axis=1), found.argmax(axis=1) + 1, 10 * _LOOKS) * step
        half, most = np.quantile(first, [0.5, _MOST], method="higher")
        return float(half), float(most)
