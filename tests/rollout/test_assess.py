"""Verdicts on canaries: the literal cases, and simulations that hold the promised error rates."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from mlops_ray.rollout import MIN_BAD_EVENTS, Assessment, Block, Evidence, assess, fold
from mlops_ray.spec import Analysis, Bake, Rollout, Step
from mlops_ray.verdict import Verdict
from tests.rollout.strategies import blocks

ANALYSIS = Analysis()
ROLLOUT = Rollout()
NOTHING = Evidence.none(ANALYSIS)
BLUE_GREEN = Rollout(strategy="blue-green", bake=Bake())
TO_ALL = Rollout(steps=(Step(share=0.5), Step(share=1.0)))


def judged(*blocks: Block, rollout: Rollout = ROLLOUT) -> Assessment:
    evidence = NOTHING
    for block in blocks:
        evidence = fold(evidence, block, rollout.analysis)
    return assess(evidence, rollout)


def seen(*counts: int, share: float | None = None) -> Block:
    split = counts[0] / (counts[0] + counts[1]) if share is None else share
    return replace(Block(*counts), share=split)  # type: ignore[arg-type]


def after(block: Block, analysis: Analysis = ANALYSIS) -> Verdict:
    return judged(block, rollout=Rollout(analysis=analysis)).verdict


def test_no_evidence_is_inconclusive() -> None:
    assert assess(NOTHING, ROLLOUT).verdict is Verdict.INCONCLUSIVE


def test_a_canary_without_a_single_error_passes_after_221_requests() -> None:
    assert after(seen(220, 5000, 0, 0, 0, 0)) is Verdict.INCONCLUSIVE
    assert after(seen(221, 5000, 0, 0, 0, 0)) is Verdict.PASS


def test_a_canary_without_errors_passes_even_when_no_request_goes_to_the_champion() -> None:
    assert after(seen(221, 0, 0, 0, 0, 0)) is Verdict.PASS


def test_one_bad_request_in_400_still_passes() -> None:
    assert after(seen(400, 400, 1, 0, 1, 0)) is Verdict.PASS


def test_a_canary_as_bad_as_a_bad_champion_passes_by_the_ratio() -> None:
    assert after(seen(6000, 6000, 300, 300, 0, 0)) is Verdict.PASS


def test_every_metric_has_to_be_fine() -> None:
    assessment = judged(seen(300, 300, 0, 0, 12, 8))
    assert [metric.verdict for metric in assessment.metrics] == [Verdict.PASS, Verdict.INCONCLUSIVE]
    assert assessment.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("share", "requests"), [(0.05, 3), (0.25, 6), (0.5, 12)])
def test_a_canary_that_fails_on_every_request_fails_within_few(share: float, requests: int) -> None:
    champion = round(requests * (1 - share) / share)
    assert after(seen(requests, champion, requests, 0, 0, 0)) is Verdict.FAIL


def test_fewer_bad_events_than_three_never_fail() -> None:
    lenient, few = Analysis(alpha=0.2), MIN_BAD_EVENTS - 1
    found = judged(seen(few, 10_000, few, 0, 0, 0), rollout=Rollout(analysis=lenient))
    assert found.metrics[0].e_worse > 2 / lenient.alpha
    assert found.verdict is not Verdict.FAIL


def test_two_metrics_share_alpha() -> None:
    found = judged(seen(100, 1000, 6, 10, 0, 0))
    assert 1 / ANALYSIS.alpha < found.metrics[0].e_worse < 2 / ANALYSIS.alpha
    assert found.verdict is Verdict.INCONCLUSIVE


def test_a_slow_canary_fails_and_the_reason_says_so() -> None:
    assessment = judged(seen(200, 1800, 0, 0, 30, 20))
    assert assessment.verdict is Verdict.FAIL
    assert assessment.reason.startswith("latency: 30 of 200 on the canary, 20 of 1,800 on the champion: worse")


def test_a_tolerated_ratio_of_two_lets_a_doubled_rate_be() -> None:
    block = seen(5000, 5000, 200, 100, 0, 0)
    assert after(block) is Verdict.FAIL
    assert after(block, Analysis(tolerated_ratio=2.0, max_ratio=3.0)) is not Verdict.FAIL


@given(blocks(largest=2_000_000))
def test_numbers_stay_finite_whatever_happens(block: Block) -> None:
    evidence = fold(NOTHING, block, ANALYSIS)
    for metric in assess(fold(evidence, block, ANALYSIS), ROLLOUT).metrics:
        assert np.isfinite([metric.e_worse, metric.e_fine, *metric.estimate.values()]).all()


def test_where_all_units_are_on_the_version_too_large_a_share_of_errors_fails() -> None:
    found = judged(seen(500, 0, 40, 0, 0, 0, share=1.0), rollout=BLUE_GREEN)
    assert found.verdict is Verdict.FAIL
    assert found.reason.startswith("errors: 40 of 500 on the canary, held against a share of 0.02: worse")


def test_where_all_units_are_on_the_version_a_small_share_of_errors_passes() -> None:
    assert judged(seen(2000, 0, 10, 0, 4, 0, share=1.0), rollout=BLUE_GREEN).verdict is Verdict.PASS


def test_a_version_that_was_fine_beside_the_champion_still_fails_under_the_full_load() -> None:
    beside = seen(5000, 5000, 50, 50, 0, 0, share=0.5)
    assert judged(beside, rollout=TO_ALL).verdict is Verdict.PASS
    assert judged(beside, seen(60, 0, 20, 0, 0, 0, share=1.0), rollout=TO_ALL).verdict is Verdict.FAIL


def test_a_plan_that_ends_with_all_units_still_compares_while_it_can() -> None:
    assert judged(seen(200, 1800, 20, 9, 0, 0), rollout=TO_ALL).verdict is Verdict.FAIL


def test_units_that_fail_again_and_again_hold_a_pass_back() -> None:
    found = judged(Block(8000, 8000, 150, 160, 0, 0, canary_repeated_errors=200, share=0.5))
    assert found.metrics[0].e_fine >= 1 / ANALYSIS.beta
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.endswith("undecided, units that fail do so again and again")


def test_clients_of_both_versions_may_retry() -> None:
    block = Block(8000, 8000, 150, 160, 0, 0, canary_repeated_errors=750, champion_repeated_errors=800, share=0.5)
    assert judged(block).verdict is Verdict.PASS


def test_repeated_failures_are_compared_within_blocks_only() -> None:
    """Shares and failures grow together, so that all canary requests together fail more often than the champion's."""
    quiet = Block(100, 9900, 0, 20, 0, 0, champion_repeated_errors=80, share=0.01)
    busy = Block(8000, 8000, 160, 160, 0, 0, canary_repeated_errors=640, champion_repeated_errors=640, share=0.5)
    found = judged(quiet, busy)
    assert found.metrics[0].estimate["canary_share"] > 1.5 * found.metrics[0].estimate["champion_share"]
    assert found.verdict is Verdict.PASS


def test_all_bad_copies_count_against_a_shadow() -> None:
    """A copy is hardly ever the first bad request of its unit: the original is."""
    copies = Block(8000, 8000, 20, 160, 0, 0, canary_repeated_errors=300, share=0.0)
    assert judged(copies, rollout=Rollout(strategy="shadow")).verdict is Verdict.INCONCLUSIVE
    fine = replace(copies, canary_repeated_errors=130)
    assert judged(fine, rollout=Rollout(strategy="shadow")).verdict is Verdict.PASS


def test_copies_say_nothing_about_the_latency_objective() -> None:
    dark = Rollout(steps=(Step(share=0.0, mirror=0.5), Step(share=0.5)))
    found = judged(seen(3000, 6000, 0, 0, 0, 0, share=0.0), rollout=dark)
    assert [metric.verdict for metric in found.metrics] == [Verdict.PASS, Verdict.INCONCLUSIVE]


def share_with(
    verdict: Verdict,
    *,
    canary: float,
    champion: float,
    seed: int,
    runs: int = 200,
    ramp: bool = False,
    slow: bool = False,
) -> float:
    """Share of runs that at any of 60 looks give `verdict`; about 200 canary requests a look.

    `slow` draws slow answers at the same rates; without it there are none.

    With `ramp` the share goes from 5 to 50 % while both rates move from half to three times what is said.
    """
    random = np.random.default_rng(seed)
    looks, requests = 60, 2000
    shares = np.linspace(0.05, 0.5, looks) if ramp else np.full(looks, 0.1)
    moving = np.linspace(0.5, 3.0, looks) if ramp else np.ones(looks)
    n = np.round(requests * shares).astype(int)
    bad = [
        random.binomial(size, rate * moving, size=(runs, looks))
        for size, rate in ((n, canary), (requests - n, champion), (n, canary * slow), (requests - n, champion * slow))
    ]
    return float(np.mean([_ever(verdict, np.stack([n, requests - n, *counts])) for counts in zip(*bad, strict=True)]))


def _ever(verdict: Verdict, counts: NDArray[np.int64]) -> bool:
    """Whether `verdict` is given at any look; `counts` is (6, looks) in the order of Block's fields."""
    evidence = NOTHING
    for look in counts.T.tolist():
        evidence = fold(evidence, seen(*look), ANALYSIS)
        if assess(evidence, ROLLOUT).verdict is verdict:
            return True
    return False


def limit(rate: float, runs: int = 200) -> float:
    """`rate` plus three standard errors."""
    return float(rate + 3 * np.sqrt(rate * (1 - rate) / runs))


@pytest.mark.parametrize("ramp", [False, True])
def test_equal_versions_are_rolled_back_no_more_often_than_alpha(ramp: bool) -> None:
    found = share_with(Verdict.FAIL, canary=0.03, champion=0.03, seed=1, ramp=ramp, slow=True)
    assert found <= limit(ANALYSIS.alpha)


def test_five_percent_errors_against_one_are_found() -> None:
    assert share_with(Verdict.FAIL, canary=0.05, champion=0.01, seed=2) >= 0.99


@pytest.mark.parametrize("ramp", [False, True])
def test_a_version_half_again_as_bad_is_promoted_no_more_often_than_beta(ramp: bool) -> None:
    rate = 0.08 if ramp else 0.04  # the ramp starts at half of it, where the canary has to be above max_bad_share too
    assert share_with(Verdict.PASS, canary=1.5 * rate, champion=rate, seed=3, ramp=ramp) <= limit(ANALYSIS.beta)


def test_an_equal_version_with_few_errors_is_promoted() -> None:
    assert share_with(Verdict.PASS, canary=0.002, champion=0.002, seed=4) >= 0.95


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_version_within_its_bounds_fails_no_more_often_than_alpha_up_to_the_full_load(share: float) -> None:
    """At `share` 1 from the first look on, or after half of the looks; 2 % of requests are bad, which is the bound."""
    random, runs, looks, failed = np.random.default_rng(5), 200, 40, 0
    rollout = BLUE_GREEN if share == 1.0 else TO_ALL
    for _ in range(runs):
        evidence = NOTHING
        for look in range(looks):
            now = 1.0 if look >= looks // 2 else share
            n, m = (200, 0) if now == 1.0 else (100, 100)
            bad = [int(random.binomial(size, 0.02)) for size in (n, m, n, m)]
            evidence = fold(evidence, seen(n, m, *bad, share=now), ANALYSIS)
            if assess(evidence, rollout).verdict is Verdict.FAIL:
                failed += 1
                break
    assert failed / runs <= limit(ANALYSIS.alpha, runs)
