"""The e-processes a canary is judged by, as logarithms over a grid of alternatives.

**Ratio of bad events.** A block holds X canary and Y champion bad events among n_c canary and n_v champion trials, and
rho = n_c / (n_c + n_v); what a trial is follows below. With r the canary's rate over the champion's, a bad event is the
canary's with probability theta(r) = rho r / (rho r + 1 - rho). The block's factor for an alternative r_j against the
null ratio r_0 is

    a^X b^Y,   a = theta(r_j) / theta(r_0),   b = (1 - theta(r_j)) / (1 - theta(r_0)).

Whatever the champion's rate p in this block, E[a^X b^Y] = prod (1 + p_i (a - 1)) prod (1 + p_i (b - 1)) is at most
exp(n_c r p (a - 1) + n_v p (b - 1)), and that exponent is proportional to theta(r) a + (1 - theta(r)) b - 1. It is 0 at
r = r_0 and linear in theta(r), so it is at most 0 for every r <= r_0 when r_j > r_0, and for every r >= r_0 when
r_j < r_0. The product over blocks is therefore a supermartingale under that null, and by Ville's inequality it ever
reaches 1 / alpha with probability at most alpha, however often one looks and however rho and p move. The mean of such
processes over a grid of alternatives is one too.

**Units that come back.** Events of one unit depend on each other, so only the first bad request of a unit counts, on
whichever side: a trial is a unit that has not failed yet. Units are assigned by a hash, whatever they do, so with two
versions that are as good each of them that fails is the canary's with chance rho = the share of units in this epoch.
(The share of requests is another number: one busy unit moves it, and says nothing about who fails. Counted on each
side by itself, a unit that failed on the champion would fail anew when a growing share moves it.) Copies of a shadow
are drawn by the request, so that trials are requests there, and rho is theirs.

**Share of bad events.** Against "the canary's share of bad events is at least p_0", a bad request multiplies by
q / p_0 and any other by (1 - q) / (1 - p_0), q < p_0: a supermartingale by the same linear argument. Against "the share
is at most p_0" the same with q > p_0; with m the odds of q over those of p_0 the factors are m / (1 - p_0 + m p_0) and
1 / (1 - p_0 + m p_0), whose mean (1 - p + m p) / (1 - p_0 + m p_0) is at most 1 for every p <= p_0.

**Copies of a shadow.** Each copy belongs to a champion request, and their outcomes are dependent. For such a pair, with
chances p_c and p_v of being bad and p_cv of both being so, the factor's mean is

    1 + p_c (a - 1) + p_v (b - 1) + p_cv (a - 1) (b - 1),

and a > 1 exactly when b < 1, so that the last term is never positive: whatever ties the two together, the mean is at
most exp(p_c (a - 1) + p_v (b - 1)), which is all that the argument above uses. An original comes before its copy, so
that the first bad request of a unit is a copy's with less than its share: evidence for worse is on the safe side, and
for the other direction all bad copies count.

Sources: Ville 1939; Lindon, Sanden, Shirikian, KDD 2022 (arXiv 2205.14762) for counts of events under moving rates.
"""

import math
from collections.abc import Sequence

__all__ = [
    "EXCESS_GRID",
    "RATIO_GRID",
    "SHARE_GRID",
    "log_excess_factors",
    "log_mean_exp",
    "log_ratio_factors",
    "log_share_process",
]

RATIO_GRID = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Alternatives to a null ratio, as multiples of it (divisors, when the alternative is the better canary)."""

SHARE_GRID = (1 / 2, 1 / 4, 1 / 50)
"""Alternatives to a null share, as multiples of it; the last one stands for "next to never"."""

EXCESS_GRID = (1.5, 2.0, 4.0, 10.0, 50.0)
"""Alternatives above a null share, as multiples of its odds."""


def log_ratio_factors(
    canary_bad: int, champion_bad: int, canary_share: float, *, null_ratio: float, worse: bool
) -> tuple[float, ...]:
    """Log of a block's factor for each alternative of RATIO_GRID against `null_ratio`.

    `worse` chooses alternatives above the null (evidence that the canary is worse), else below it. A block with one
    side only (`canary_share` 0 or 1) says nothing about the ratio: all zeros.

    >>> [round(x, 3) for x in log_ratio_factors(2, 1, 0.5, null_ratio=1.0, worse=True)]
    [0.044, 0.093, 0.141, 0.17, 0.118, -0.077, -0.509]
    """
    events = canary_bad + champion_bad
    if not events or not 0.0 < canary_share < 1.0:
        return (0.0,) * len(RATIO_GRID)
    base = canary_share * null_ratio + 1.0 - canary_share
    factors = []
    for multiple in RATIO_GRID:
        relative = multiple if worse else 1.0 / multiple
        alternative = canary_share * null_ratio * relative + 1.0 - canary_share
        factors.append(canary_bad * math.log(relative) + events * math.log(base / alternative))
    return tuple(factors)


def log_share_process(bad: int, requests: int, *, null_share: float) -> float:
    """Log e-value against "the share of bad requests is at least `null_share`", from running totals.

    The mixture depends on the requests only through these two counts, so no history is needed.

    >>> round(math.exp(log_share_process(0, 200, null_share=0.02)), 2)
    26.99
    """
    logs = []
    for multiple in SHARE_GRID:
        share = null_share * multiple
        logs.append(bad * math.log(multiple) + (requests - bad) * math.log((1.0 - share) / (1.0 - null_share)))
    return log_mean_exp(logs)


def log_excess_factors(bad: int, requests: int, *, null_share: float) -> tuple[float, ...]:
    """Log factor for each alternative of EXCESS_GRID against "the share of bad requests is at most `null_share`".

    >>> [round(x, 2) for x in log_excess_factors(4, 20, null_share=0.02)]
    [1.42, 2.38, 4.38, 5.9, 1.99]
    """
    return tuple(bad * math.log(odds) - requests * math.log1p(null_share * (odds - 1.0)) for odds in EXCESS_GRID)


def log_mean_exp(logs: Sequence[float]) -> float:
    """log(mean(exp(logs))) without overflow.

    >>> log_mean_exp([1000.0, 1000.0])
    1000.0
    """
    largest = max(logs)
    return largest + math.log(sum([math.exp(value - largest) for value in logs]) / len(logs))
