"""Simulated traffic of a rollout: how many requests and bad ones both sides have from look to look."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_ray.rollout import Block

__all__ = [
    "LOOKS",
    "Traffic",
    "bought",
    "clustered",
    "day_cycle",
    "full_blocks",
    "mirrored",
    "ramp",
    "requests_of_units",
    "steady",
]

LOOKS = 150
_UNITS = 1_000
_BINS = 10
_RAMP = (0.05, 0.25, 0.50)

Counts = NDArray[np.int64]
Rates = NDArray[np.float64]


@dataclass(frozen=True)
class Traffic:
    """One rollout, with one row for each look; sides are columns, canary first."""

    share: Rates
    """Of the units that should meet the canary, (looks,)."""
    requests: Counts
    """(looks, 2)."""
    first_bad: Counts
    """First bad requests of a unit, on whichever side, (looks, 2): what the e-processes count."""
    bad: Counts
    """All bad requests, (looks, 2): what a query on status codes counts."""

    def blocks(self) -> Iterator[Block]:
        """The blocks of evidence, without slow answers."""
        rows = (self.share, self.requests, self.first_bad, self.bad)
        for share, (n, m), (canary, champion), (all_canary, all_champion) in zip(
            *(row.tolist() for row in rows), strict=True
        ):
            again = {"canary_repeated_errors": all_canary - canary, "champion_repeated_errors": all_champion - champion}
            yield Block(n, m, canary, champion, 0, 0, share=share, **again)


def steady(value: float, looks: int = LOOKS) -> Rates:
    """The same at all looks."""
    return np.full(looks, value)


def ramp(looks: int = LOOKS) -> Rates:
    """Shares of the steps 5, 25 and 50 %, a third of the looks each."""
    return np.repeat(_RAMP, -(-looks // len(_RAMP)))[:looks]


def day_cycle(base: float, looks: int = LOOKS) -> Rates:
    """A rate between a fifth of `base` and 1.8 times that, over two days."""
    return base * (1.0 + 0.8 * np.sin(np.linspace(0.0, 4.0 * np.pi, looks)))


def requests_of_units(
    random: np.random.Generator, share: Rates, base: Rates, *, requests: Rates, ratio: float = 1.0, retries: int = 0
) -> Traffic:
    """Every request by a unit of its own; one that fails does so again for each of its `retries`.

    Args:
        random: where chance comes from.
        share: of the units on the canary, by look.
        base: the champion's rate of bad requests, by look.
        requests: expected on both sides together, by look.
        ratio: the canary's rate over the champion's.
        retries: of a request that failed; all of them fail.
    """
    sides = np.stack([share, 1.0 - share], axis=1)
    tried = random.poisson(requests[:, None] * sides)
    failed = random.binomial(tried, np.minimum(np.stack([ratio * base, base], axis=1), 1.0))
    return Traffic(share, tried + retries * failed, failed, failed * (1 + retries))


def clustered(random: np.random.Generator, share: Rates, *, requests: float) -> Traffic:
    """A thousand units that come back, few of them often, each with an error rate of its own.

    A unit is on the canary when its place in 0..1 is below the share, so that it stays there as the share grows.
    """
    rate, tried, failed = _units(random, len(share), requests)
    on_canary = random.random(len(rate)) < share[:, None]
    ever = np.cumsum(failed > 0, axis=0)
    first = (ever == 1) & (failed > 0)
    sides = (on_canary, ~on_canary)
    return Traffic(share, *(_of_sides(counts * sides[0], counts * sides[1]) for counts in (tried, first, failed)))


def mirrored(random: np.random.Generator, mirror: float, *, requests: float, looks: int = LOOKS) -> Traffic:
    """The same units on the champion, and copies of this share of their requests on a shadow that is as good.

    Four copies in five end as their original did, the others by chance. The first bad request of a unit is the shadow's
    as often as the shadow fails alone.
    """
    rate, tried, failed = _units(random, looks, requests)
    copied_failed, copied_fine = random.binomial(failed, mirror), random.binomial(tried - failed, mirror)
    alike = 0.8
    copy_too = random.binomial(copied_failed, alike + (1.0 - alike) * rate)
    copy_alone = random.binomial(copied_fine, (1.0 - alike) * rate)
    any_bad = failed + copy_alone
    first = (np.cumsum(any_bad > 0, axis=0) == 1) & (any_bad > 0)
    by_copy = first & (random.random(first.shape) * any_bad < copy_alone)
    return Traffic(
        np.zeros(looks),
        _of_sides(copied_failed + copied_fine, tried),
        _of_sides(by_copy, first & ~by_copy),
        _of_sides(copy_too + copy_alone, failed),
    )


def _units(random: np.random.Generator, looks: int, requests: float) -> tuple[Rates, Counts, Counts]:
    """Error rates (units,), 1 % on average, and requests and bad ones by look and unit.

    Nine units in ten fail next to never, and among the others some fail nearly always.
    """
    weight = random.gamma(0.5, size=_UNITS)
    rate = np.where(random.random(_UNITS) < 0.1, random.beta(0.2, 2.0, size=_UNITS), 0.001)
    tried = random.poisson(requests * weight / weight.sum(), size=(looks, _UNITS))
    return rate, tried, random.binomial(tried, rate)


def _of_sides(canary: Counts, champion: Counts) -> Counts:
    """Sums over units, (looks, 2)."""
    return np.stack([canary.sum(axis=1), champion.sum(axis=1)], axis=1)


def full_blocks(random: np.random.Generator, share: Rates, *, requests: float) -> Iterator[Block]:
    """Blocks of two equal versions with every default metric: errors 1 %, slow answers 2 %, times, scores."""
    for of_units in share.tolist():
        n, m = (int(random.poisson(requests * part)) for part in (of_units, 1.0 - of_units))
        errors, slow, half, tail, end = (
            (int(random.binomial(n, rate)), int(random.binomial(m, rate))) for rate in (0.01, 0.02, 0.5, 0.05, 0.01)
        )
        scores = (random.multinomial(side, [1.0 / _BINS] * _BINS).tolist() for side in (n, m))
        canary_bins, champion_bins = (tuple(bins) for bins in scores)
        yield Block(
            n,
            m,
            *errors,
            canary_slow=slow[0],
            champion_slow=slow[1],
            quantiles={"p50": half, "p95": tail, "p99": end},
            timed=(n, m),
            scores=(canary_bins, champion_bins),
            share=of_units,
        )


def bought(random: np.random.Generator, rates: Sequence[float], *, units: int, looks: int = LOOKS) -> Counts:
    """Labelled units and buyers among them, running totals by look and side, (looks, 2, 2); half of the units each."""
    canary = random.binomial(units, 0.5, size=looks)
    labelled = np.stack([canary, units - canary], axis=1)
    buyers = random.binomial(labelled, np.array(rates))
    return np.stack([labelled, buyers], axis=2).cumsum(axis=0)
