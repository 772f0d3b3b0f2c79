"""Whether as many units meet the canary as should: anytime-valid, so that it may be asked at every look."""

import math
from dataclasses import dataclass

from scipy.special import betaln

from mlops_ray.errors import RolloutError
from mlops_ray.rollout.assignment import BUCKETS

__all__ = ["RatioCheck", "sample_ratio_mismatch"]

_CONCENTRATIONS = (10.0, 1_000.0, 30_000.0)
"""Of the beta priors around the share that should be: departures of about .15, .016 and .003 at a share of one half."""

_LARGEST_LOG = 700.0  # exp of more does not fit a float


@dataclass(frozen=True)
class RatioCheck:
    """The units on both sides against the share that should be."""

    e_value: float
    """Evidence against the share (1 = none)."""
    mismatch: bool
    observed: float
    """Share of the units on the canary; 0 as long as there are none."""
    expected: float
    message: str


def sample_ratio_mismatch(canary_units: int, champion_units: int, share: float, alpha: float = 1e-4) -> RatioCheck:
    """Hold the units seen on both sides, each counted once, against the share that was set.

    A unit that is seen meets the canary with probability `share` (as realised in buckets), independently of others.
    With k of n units on the canary the e-value is the mean, over beta priors around that share, of the marginal
    likelihood over that of the share, B(a + k, b + n - k) / (B(a, b) share^k (1 - share)^(n - k)): a martingale from 1
    in n. So a split that is right ever gives a mismatch with probability at most `alpha`, however often one looks,
    while units that are lost on one side (crashes before the record, a cache, a bot filter) are found in the end.

    Raises:
        RolloutError: a negative count, or a share that gives one side no units.

    >>> sample_ratio_mismatch(50_100, 49_900, 0.5).mismatch, sample_ratio_mismatch(48_000, 52_000, 0.5).mismatch
    (False, True)
    """
    realised = round(share * BUCKETS) / BUCKETS
    if canary_units < 0 or champion_units < 0 or not 0.0 < realised < 1.0:
        raise RolloutError(
            f"sample ratio: expected counts of at least 0 and a share between 0 and 1, found {canary_units}, "
            f"{champion_units} and {share:g}"
        )
    units = canary_units + champion_units
    null = canary_units * math.log(realised) + champion_units * math.log1p(-realised)
    logs = [_log_marginal(canary_units, champion_units, realised, size) - null for size in _CONCENTRATIONS]
    e_value = sum(math.exp(min(log, _LARGEST_LOG)) for log in logs) / len(logs)
    observed = canary_units / units if units else 0.0
    mismatch = e_value >= 1.0 / alpha
    verdict = "the split is not the one that was set" if mismatch else "as set"
    return RatioCheck(
        e_value=e_value,
        mismatch=mismatch,
        observed=observed,
        expected=realised,
        message=f"{canary_units:,} of {units:,} units on the canary, {observed:.2%} where {realised:.2%} should be: "
        f"{verdict} (evidence {e_value:.3g}, needs {1.0 / alpha:.3g})",
    )


def _log_marginal(canary: int, champion: int, share: float, concentration: float) -> float:
    a, b = concentration * share, concentration * (1.0 - share)
    return float(betaln(a + canary, b + champion) - betaln(a, b))
