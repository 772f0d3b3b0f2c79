"""Limits of the harm hold at every look, ramps do not confound them, and they are as narrow as they say."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mlops_ray.rollout import Moments, Stratum
from mlops_ray.rollout.harm import Harm, half_width, harm, information_for, pooled
from tests.rollout.strategies import STRATA, moments

Draw = Callable[[np.random.Generator, int, float], NDArray[np.float64]]
LEVEL, RUNS = 0.05, 150

DRAWS: dict[str, tuple[Draw, float]] = {
    "wrong labels": (lambda random, n, base: (random.random(n) < 0.05 * base).astype(float), 0.02),
    "squared errors": (lambda random, n, base: base * random.normal(size=n) ** 2, 0.2),
    "sparse revenue": (lambda random, n, base: (random.random(n) < 0.02 * base) * random.lognormal(size=n), 0.02),
}


def limits(strata: tuple[Stratum, ...], **changes: object) -> Harm | None:
    arguments = {"better": "lower", "scale": 0.05, "lower_level": LEVEL, "upper_level": LEVEL} | changes
    return harm(strata, **arguments)  # type: ignore[arg-type]


def of(values: NDArray[np.float64]) -> Moments:
    return Moments(len(values), float(values.mean()), float(((values - values.mean()) ** 2).sum()))


def crossed(draw: Draw, scale: float, *, ramp: bool, seed: int) -> bool:
    """Whether equal versions ever look different in one run, with 60 looks at 100 units each.

    With `ramp` the share grows from 5 to 50 % in three epochs while what is measured doubles and trebles.
    """
    random, looks = np.random.default_rng(seed), 60
    shares, bases = ((0.05, 0.25, 0.5), (1.0, 2.0, 3.0)) if ramp else ((0.2,) * 3, (1.0,) * 3)
    strata: list[Stratum] = []
    for epoch, (share, base) in enumerate(zip(shares, bases, strict=True)):
        canary, champion = np.zeros(0), np.zeros(0)
        for _ in range(looks // 3):
            ours = random.binomial(100, share)
            canary = np.append(canary, draw(random, ours, base))
            champion = np.append(champion, draw(random, 100 - ours, base))
            if not len(canary):
                continue
            now = (*strata, Stratum(epoch, of(canary), of(champion)))
            found = limits(now, scale=scale)
            if found is not None and sum(s.canary.n for s in now) >= 50 and not found.lower <= 0 <= found.upper:
                return True
        strata.append(Stratum(epoch, of(canary), of(champion)))
    return False


@pytest.mark.parametrize("ramp", [False, True])
@pytest.mark.parametrize("name", DRAWS)
def test_limits_hold_at_all_looks_together_for_equal_versions(name: str, ramp: bool) -> None:
    draw, scale = DRAWS[name]
    wrong = np.mean([crossed(draw, scale, ramp=ramp, seed=seed) for seed in range(RUNS)])
    assert wrong <= 2 * LEVEL + 3 * math.sqrt(2 * LEVEL * (1 - 2 * LEVEL) / RUNS)  # either side at LEVEL


def test_shares_that_grow_while_everything_gets_worse_are_no_harm() -> None:
    strata = (
        Stratum(1, Moments(100, 0.01, 0.99), Moments(1900, 0.01, 18.8)),
        Stratum(2, Moments(1000, 0.2, 160.0), Moments(1000, 0.2, 160.0)),
    )
    together = pooled([s.canary for s in strata]).mean - pooled([s.champion for s in strata]).mean
    found = limits(strata)
    assert together > 0.07
    assert found is not None
    assert found.estimate == pytest.approx(0.0, abs=1e-12)


def test_harm_is_turned_by_which_direction_is_better() -> None:
    strata = (Stratum(1, Moments(400, 0.3, 84.0), Moments(400, 0.2, 64.0)),)
    lower, higher = limits(strata), limits(strata, better="higher")
    assert lower is not None
    assert higher is not None
    assert (higher.estimate, higher.lower, higher.upper) == (-lower.estimate, -lower.upper, -lower.lower)


@pytest.mark.parametrize("strata", [(), (Stratum(1, Moments(9, 0.5, 1.0), Moments(0, 0.0, 0.0)),)], ids=["none", "one"])
def test_without_both_sides_nothing_is_said(strata: tuple[Stratum, ...]) -> None:
    assert limits(strata) is None


def test_equal_values_say_something_only_where_their_bounds_are_known() -> None:
    strata = (Stratum(1, Moments(2000, 0.0, 0.0), Moments(2000, 0.0, 0.0)),)
    assert limits(strata) is None
    found = limits(strata, within=(0.0, 1.0))
    assert found is not None
    assert 0.0 < found.upper < 0.01


def test_a_few_values_without_variance_borrow_it_from_the_other_side() -> None:
    revenue = Moments(5000, 0.02, 98.0)  # 2 % of units pay 1
    found = limits((Stratum(1, Moments(60, 0.0, 0.0), revenue),), better="higher", scale=0.01)
    assert found is not None
    assert found.lower < 0.0


@given(STRATA)
def test_limits_lie_around_the_estimate(strata: tuple[Stratum, ...]) -> None:
    found = limits(strata)
    assert found is None or found.lower <= found.estimate <= found.upper


@given(st.floats(1e-3, 10), st.floats(1e-6, 0.4), st.floats(0.05, 50))
def test_information_for_a_width_gives_that_width(scale: float, level: float, times: float) -> None:
    width = scale * times
    assert half_width(information_for(width, scale, level), scale, level) == pytest.approx(width, rel=1e-6)


@given(st.lists(moments(), min_size=2, max_size=4))
def test_moments_pool_in_any_grouping(parts: list[Moments]) -> None:
    one, two = pooled(parts), pooled([pooled(parts[:1]), pooled(parts[1:])])
    assert one.n == two.n
    assert one.mean == pytest.approx(two.mean)
    assert one.m2 == pytest.approx(two.m2)
