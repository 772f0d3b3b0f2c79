"""What is promised to be found is found, and what is not is not promised."""

import numpy as np
import pytest

from mlops_ray.errors import RolloutError
from mlops_ray.rollout import (
    Block,
    Evidence,
    Moments,
    Stratum,
    assess,
    fold,
    labels_to_detect,
    requests_to_detect,
    smallest_detectable,
)
from mlops_ray.rollout.budget import Budget
from mlops_ray.rollout.harm import harm
from mlops_ray.spec import Bake, Rollout, Step
from mlops_ray.verdict import Verdict

ROLLOUT = Rollout()
BLUE_GREEN = Rollout(strategy="blue-green", bake=Bake())


def found_within(requests: int, rates: tuple[float, float], *, share: float, rollout: Rollout, seed: int) -> float:
    """Share of 120 rollouts that FAIL within so many canary requests, judged at 40 looks by what judges real ones."""
    random, looks, found = np.random.default_rng(seed), 40, 0
    for _ in range(120):
        evidence = Evidence.none(rollout.analysis)
        for _ in range(looks):
            n = requests / looks
            sizes = int(random.poisson(n)), int(random.poisson(n * (1 - share) / share))
            canary_bad, champion_bad = (int(random.binomial(*pair)) for pair in zip(sizes, rates, strict=True))
            evidence = fold(evidence, Block(*sizes, canary_bad, champion_bad, 0, 0, share=share), rollout.analysis)
            if assess(evidence, rollout).verdict is Verdict.FAIL:
                found += 1
                break
    return found / 120


@pytest.mark.parametrize(
    ("champion", "canary", "share", "rollout"),
    [(0.01, 0.05, 0.05, ROLLOUT), (0.02, 0.04, 0.5, ROLLOUT), (0.01, 0.06, 1.0, BLUE_GREEN)],
)
def test_the_requests_that_are_said_to_be_enough_are(
    champion: float, canary: float, share: float, rollout: Rollout
) -> None:
    needed = requests_to_detect(champion, canary, share=share, rollout=rollout)
    assert needed is not None
    half = found_within(needed.half, (canary, champion), share=share, rollout=rollout, seed=1)
    most = found_within(needed.most, (canary, champion), share=share, rollout=rollout, seed=2)
    assert 0.33 < half < 0.67
    assert 0.78 < most < 0.98
    assert needed.half / 2 < needed.expected < 2 * needed.most


@pytest.mark.parametrize(
    ("champion", "canary", "share", "rollout"),
    [(0.01, 0.01, 0.1, ROLLOUT), (0.0, 0.0, 0.5, ROLLOUT), (0.5, 0.02, 1.0, BLUE_GREEN)],
)
def test_what_is_as_good_is_never_found(champion: float, canary: float, share: float, rollout: Rollout) -> None:
    assert requests_to_detect(champion, canary, share=share, rollout=rollout) is None


def test_larger_differences_and_smaller_shares_need_fewer_canary_requests() -> None:
    small, large, busy = (
        requests_to_detect(0.01, rate, share=share, rollout=ROLLOUT)
        for rate, share in ((0.02, 0.1), (0.05, 0.1), (0.02, 0.5))
    )
    assert small is not None
    assert large is not None
    assert busy is not None
    assert large.half < small.half < busy.half


def test_the_smallest_rate_that_would_have_been_found_needs_about_the_requests_there_were() -> None:
    found = smallest_detectable(2000, 18_000, champion_bad=180, rollout=ROLLOUT)
    assert found is not None
    needed = requests_to_detect(found.champion_rate, found.canary_rate, share=0.1, rollout=ROLLOUT)
    assert needed is not None
    assert needed.expected == pytest.approx(2000, rel=0.02)


def test_next_to_no_requests_find_nothing() -> None:
    assert smallest_detectable(0, 1000, champion_bad=1, rollout=ROLLOUT) is None
    assert smallest_detectable(2, 1000, champion_bad=1, rollout=ROLLOUT) is None


def test_without_a_champion_the_smallest_share_is_above_the_bound() -> None:
    found = smallest_detectable(2000, 0, champion_bad=0, rollout=BLUE_GREEN)
    assert found is not None
    assert 0.02 < found.canary_rate < 0.04


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_the_labels_that_are_said_to_be_enough_make_the_limits_as_narrow_as_the_effect(share: float) -> None:
    effect, sd = 0.1, 0.5
    needed = labels_to_detect(effect, sd, share=share, rollout=ROLLOUT)
    sides = [Moments(n, mean, n * sd**2) for n, mean in ((needed.canary, effect), (needed.champion, 0.0))]
    level = Budget.of(ROLLOUT).critical
    found = harm([Stratum(1, *sides)], better="lower", scale=effect, lower_level=level, upper_level=level)
    assert found is not None
    assert found.lower == pytest.approx(0.0, abs=0.01 * effect)
    assert needed.canary / (needed.canary + needed.champion) == pytest.approx(share, abs=0.01)
    assert needed.canary_most > needed.canary
    assert needed.champion_most > needed.champion


@pytest.mark.parametrize("wrong", [(-0.1, 0.1, 0.1), (0.1, 1.1, 0.1), (0.1, 0.1, 0.0), (0.1, 0.1, 1.1)])
def test_rates_and_shares_that_cannot_be_are_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(RolloutError, match="power"):
        requests_to_detect(wrong[0], wrong[1], share=wrong[2], rollout=ROLLOUT)


@pytest.mark.parametrize("wrong", [(0.0, 1.0, 0.5), (0.1, 0.0, 0.5), (0.1, 1.0, 1.0), (0.1, 1.0, 0.0)])
def test_effects_that_cannot_be_are_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(RolloutError, match="power"):
        labels_to_detect(wrong[0], wrong[1], share=wrong[2], rollout=ROLLOUT)


def test_more_tests_share_alpha_and_need_more_requests() -> None:
    alone = Rollout(strategy="shadow")
    both = requests_to_detect(0.01, 0.05, share=0.1, rollout=Rollout(steps=(Step(share=0.1),)))
    one = requests_to_detect(0.01, 0.05, share=0.1, rollout=alone)
    assert one is not None
    assert both is not None
    assert one.expected < both.expected
