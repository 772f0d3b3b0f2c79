"""What labels and queries say, in every strategy."""

from typing import Any

import pytest

from mlops_ray.rollout import (
    Assessment,
    Block,
    Evidence,
    MetricAssessment,
    Moments,
    Stratum,
    assess,
    fold,
    with_measurement,
    with_outcomes,
)
from mlops_ray.spec import AB, Analysis, Outcome, PromQL, Rollout
from mlops_ray.verdict import Verdict

WRONG = Outcome(name="wrong", of="error", max_harm=0.05)
BOUGHT = Outcome(name="bought", of="label", better="higher", max_harm=0.05)
CPU = PromQL(name="cpu", query="cpu", max=1.0, failures=2)
FINE = Block(500, 500, 0, 0, 0, 0, share=0.5)
PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def zeros_and_ones(units: int, share: float) -> Moments:
    return Moments(units, share, units * share * (1 - share))


def stratum(canary: float, champion: float, *, units: int = 2000, epoch: int = 1) -> Stratum:
    return Stratum(epoch, zeros_and_ones(units, canary), zeros_and_ones(units, champion))


def canary(*outcomes: Outcome, promql: tuple[PromQL, ...] = ()) -> Rollout:
    return Rollout(analysis=Analysis(outcomes=outcomes, promql=promql))


def ab(**analysis: Any) -> Rollout:
    return Rollout(strategy="ab", ab=AB(primary=BOUGHT, min_effect=0.05), analysis=Analysis(**analysis))


def judged(rollout: Rollout, block: Block = FINE, **outcomes: Stratum) -> Assessment:
    evidence = fold(Evidence.none(rollout.analysis), block, rollout.analysis)
    return assess(with_outcomes(evidence, {name: (found,) for name, found in outcomes.items()}), rollout)


def named(found: Assessment, name: str) -> MetricAssessment:
    return next(metric for metric in found.metrics if metric.name == name)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (stratum(0.20, 0.20, units=5000), PASS),
        (stratum(0.30, 0.20), FAIL),
        (stratum(0.23, 0.20, units=50_000), PASS),  # worse for sure, and by less than max_harm
        (stratum(0.30, 0.20, units=100), INCONCLUSIVE),
        (stratum(0.90, 0.10, units=49), INCONCLUSIVE),  # less than min_labels
    ],
    ids=str,
)
def test_an_outcome_is_held_against_its_largest_harm(found: Stratum, verdict: Verdict) -> None:
    assert named(judged(canary(WRONG), wrong=found), "wrong").verdict is verdict
    assert judged(canary(WRONG), wrong=found).verdict is (PASS if found.canary.n < 50 else verdict)


def test_a_harm_that_is_sure_and_small_fails_nothing() -> None:
    found = judged(canary(WRONG), wrong=stratum(0.245, 0.20, units=20_000))
    assert named(found, "wrong").estimate["lower"] > 0.0
    assert found.verdict is INCONCLUSIVE


def test_higher_may_be_better() -> None:
    assert judged(canary(BOUGHT), bought=stratum(0.30, 0.20)).verdict is PASS
    assert judged(canary(BOUGHT), bought=stratum(0.20, 0.30)).verdict is FAIL


def test_an_outcome_that_is_not_critical_only_warns() -> None:
    reported = WRONG.model_copy(update={"critical": False})
    found = judged(canary(reported), wrong=stratum(0.40, 0.20))
    assert (found.verdict, [warning.split(":")[0] for warning in found.warnings]) == (PASS, ["wrong"])


@pytest.mark.parametrize("critical", [True, False])
def test_an_outcome_that_must_have_data_is_waited_for(critical: bool) -> None:
    rollout = canary(WRONG.model_copy(update={"must_have_data": True, "critical": critical}))
    assert judged(rollout).verdict is INCONCLUSIVE
    assert judged(rollout, wrong=stratum(0.2, 0.2, units=10_000)).verdict is PASS


def test_outcomes_of_several_epochs_are_compared_within_each() -> None:
    evidence = fold(Evidence.none(Analysis()), FINE, Analysis())
    early = Stratum(1, zeros_and_ones(500, 0.02), zeros_and_ones(9500, 0.02))
    late = Stratum(2, zeros_and_ones(5000, 0.4), zeros_and_ones(5000, 0.4))
    found = named(assess(with_outcomes(evidence, {"wrong": (early, late)}), canary(WRONG)), "wrong")
    assert found.estimate["harm"] == pytest.approx(0.0, abs=1e-12)


def measured(rollout: Rollout, *values: float | None) -> Assessment:
    evidence = fold(Evidence.none(rollout.analysis), FINE, rollout.analysis)
    for at_s, value in enumerate(values):
        evidence = with_measurement(evidence, "cpu", value, CPU, float(at_s))
    return assess(evidence, rollout)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [((), PASS), ((None, None), PASS), ((0.5,), PASS), ((0.5, 2.0), INCONCLUSIVE), ((2.0, None, 2.0), FAIL)],
    ids=str,
)
def test_a_query_fails_only_by_values_that_were_measured(values: tuple[float | None, ...], verdict: Verdict) -> None:
    assert measured(canary(promql=(CPU,)), *values).verdict is verdict


def test_a_query_that_must_have_data_is_waited_for() -> None:
    rollout = canary(promql=(CPU.model_copy(update={"must_have_data": True}),))
    assert measured(rollout, None).verdict is INCONCLUSIVE
    assert measured(rollout, None, 0.5).verdict is PASS


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (stratum(0.30, 0.20), PASS),
        (stratum(0.20, 0.30), FAIL),
        (stratum(0.18, 0.20, units=50_000), FAIL),  # a small harm is a harm
        (stratum(0.25, 0.25), INCONCLUSIVE),
        (stratum(0.90, 0.10, units=40), INCONCLUSIVE),
    ],
    ids=str,
)
def test_an_ab_test_asks_which_version_is_better(found: Stratum, verdict: Verdict) -> None:
    assert judged(ab(), bought=found).verdict is verdict


def test_an_ab_test_without_outcomes_is_undecided() -> None:
    assert judged(ab()).verdict is INCONCLUSIVE


def test_guardrails_of_an_ab_test_can_fail_and_are_not_waited_for() -> None:
    better, guarded = stratum(0.30, 0.20), ab(outcomes=(WRONG,))
    assert judged(guarded, bought=better, wrong=stratum(0.20, 0.20, units=100)).verdict is PASS
    assert judged(guarded, bought=better, wrong=stratum(0.35, 0.20)).verdict is FAIL


def test_the_better_version_of_an_ab_test_needs_fine_errors_as_well() -> None:
    assert judged(ab(), Block(100, 100, 0, 0, 0, 0, share=0.5), bought=stratum(0.30, 0.20)).verdict is INCONCLUSIVE
    assert judged(ab(), Block(500, 500, 40, 5, 0, 0, share=0.5), bought=stratum(0.30, 0.20)).verdict is FAIL


def test_the_primary_outcome_is_not_a_guardrail_too() -> None:
    found = judged(ab(outcomes=(BOUGHT,)), bought=stratum(0.30, 0.20))
    assert [metric.name for metric in found.metrics] == ["errors", "latency", "bought"]
