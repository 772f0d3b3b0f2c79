"""How much worse a version's outcomes are, as an asymptotic confidence sequence: valid at every look, over all strata.

Within one stratum (an epoch, so one share) units are assigned at random, and d = mean of the canary - mean of the
champion (turned so that more is worse) estimates the harm with information I = 1 / (s_c^2 / n_c + s_v^2 / n_v). Adding
the strata, S = sum I_s d_s and I = sum I_s, compares like with like: shares and base rates that move together from
stratum to stratum (Simpson's paradox) never enter. While labels come in, S - sum I_s harm_s behaves as a Brownian
motion at time I (strong approximation, which makes the sequence asymptotic rather than exact), so that for every
effect delta > 0, exp(delta S - delta^2 I / 2) is a supermartingale as long as no stratum's harm is above 0. Mixed over
delta, half-normal with scale tau, and with Phi(x) >= 1 - exp(-x^2 / 2) / 2, it is at least 1 / level as soon as

    S / I >= w(I, level) = sqrt(2 (I tau^2 + 1) / (I tau)^2 log(1 + sqrt(I tau^2 + 1) / (2 level))).

By Ville's inequality the lower limit S / I - w is ever above the (information-weighted) harm with probability at most
`level`, and by symmetry the upper limit S / I + w ever below it. The width is least near I tau^2 = 8, where w is about
tau: the scale to set is the effect that matters.

Sources: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, Annals of Statistics 2024 (arXiv 2103.06476), where the mean may
vary over time; Howard, Ramdas, McAuliffe, Sekhon, Annals of Statistics 2021 (arXiv 1810.08240) for one-sided mixtures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mlops_ray.rollout.stratum import Moments, Stratum

__all__ = ["Harm", "half_width", "harm", "information_for", "pooled"]

_NO_VARIANCE = 1e-100  # the values are all the same, but for rounding


@dataclass(frozen=True)
class Harm:
    """The difference of means in the direction that is worse, and limits that hold at all looks together."""

    estimate: float
    lower: float
    upper: float


def harm(
    strata: Sequence[Stratum],
    *,
    better: Literal["lower", "higher"],
    scale: float,
    lower_level: float,
    upper_level: float,
    within: tuple[float, float] | None = None,
) -> Harm | None:
    """The harm over these strata; None where nothing can be said: one side empty, or every value the same.

    Args:
        strata: totals by epoch; a stratum with one side only says nothing.
        better: whether lower or higher values are better.
        scale: the effect the limits are made to see best, above 0.
        lower_level: chance that the lower limit is ever above the harm, at most.
        upper_level: chance that the upper limit is ever below the harm, at most.
        within: the values' bounds where they are known, which keeps a variance of next to no events honest.

    >>> wrong = [Stratum(1, Moments(400, 0.3, 84.0), Moments(400, 0.2, 64.0))]
    >>> found = harm(wrong, better="lower", scale=0.05, lower_level=0.05, upper_level=0.05)
    >>> [round(x, 3) for x in (found.estimate, found.lower, found.upper)]
    [0.1, 0.009, 0.191]
    """
    both = [stratum for stratum in strata if stratum.canary.n and stratum.champion.n]
    if not both:
        return None
    canary, champion = _variances(both, within)
    if min(canary, champion) < _NO_VARIANCE:
        return None
    sign = 1.0 if better == "lower" else -1.0
    weighted, information = 0.0, 0.0
    for stratum in both:
        known = 1.0 / (canary / stratum.canary.n + champion / stratum.champion.n)
        information += known
        weighted += known * sign * (stratum.canary.mean - stratum.champion.mean)
    estimate = weighted / information
    return Harm(
        estimate=estimate,
        lower=estimate - half_width(information, scale, lower_level),
        upper=estimate + half_width(information, scale, upper_level),
    )


def half_width(information: float, scale: float, level: float) -> float:
    """w of the module, in the outcome's unit.

    >>> round(half_width(8.0 / 0.05**2, 0.05, 0.05), 3)
    0.049
    """
    known = information * scale**2
    return scale * math.sqrt(2.0 * (known + 1.0) * math.log1p(math.sqrt(known + 1.0) / (2.0 * level))) / known


def information_for(width: float, scale: float, level: float) -> float:
    """The information from which on `half_width` is at most `width`; the inverse of it, by bisection of logarithms."""
    low, high = math.log(1e-6 / scale**2), math.log(1e12 / scale**2)
    for _ in range(100):
        middle = (low + high) / 2.0
        if half_width(math.exp(middle), scale, level) > width:
            low = middle
        else:
            high = middle
    return math.exp(high)


def pooled(moments: Sequence[Moments]) -> Moments:
    """The moments of all values together.

    >>> pooled([Moments(2, 1.0, 2.0), Moments(2, 3.0, 2.0)])
    Moments(n=4, mean=2.0, m2=8.0)
    """
    n = sum(part.n for part in moments)
    mean = sum(part.n * part.mean for part in moments) / n if n else 0.0
    return Moments(n, mean, sum(part.m2 + part.n * (part.mean - mean) ** 2 for part in moments))


def _variances(strata: Sequence[Stratum], within: tuple[float, float] | None) -> tuple[float, float]:
    """Variances within strata, (canary, champion), neither below that of both sides together.

    Few values of a rare event have no variance to speak of although the event has one; the larger side knows better.
    Values that are bounded get one more value at each bound.
    """
    sides = [[stratum.canary for stratum in strata], [stratum.champion for stratum in strata]]
    squares = [sum(part.m2 for part in side) for side in sides]
    free = [max(sum(part.n - 1 for part in side), 1) for side in sides]
    extra = 0.0 if within is None else (within[1] - within[0]) ** 2 / 2.0
    both = (sum(squares) + extra) / sum(free)
    canary, champion = (max(square / n, both) for square, n in zip(squares, free, strict=True))
    return canary, champion
