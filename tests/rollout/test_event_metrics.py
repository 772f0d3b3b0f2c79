"""What counts of events beyond errors say: time in the model, scores, disagreements."""

from typing import Any

import pytest

from mlops_ray.rollout import Assessment, Block, Evidence, MetricAssessment, assess, fold
from mlops_ray.rollout.budget import Budget
from mlops_ray.spec import Analysis, Latency, Outcome, Paired, Predictions, PromQL, Rollout
from mlops_ray.verdict import Verdict

SLOWER: dict[str, Any] = {"quantiles": {"p50": (160, 1000), "p95": (60, 100)}, "timed": (200, 2000)}
MOVED: dict[str, Any] = {"scores": ((50, 50, 100), (300, 300, 300))}
BOUNDED = Analysis(paired=Paired(max_disagreement=0.05))


def judged(*, analysis: Analysis | None = None, strategy: Any = "canary", **parts: Any) -> Assessment:
    """After one block without any error, with these parts."""
    rollout = Rollout(strategy=strategy, analysis=analysis or Analysis())
    share = 0.0 if strategy == "shadow" else 0.1
    block = Block(200, 2000, 0, 0, 0, 0, share=share, **parts)
    return assess(fold(Evidence.none(rollout.analysis), block, rollout.analysis), rollout)


def metric(found: Assessment, name: str) -> MetricAssessment:
    return next(metric for metric in found.metrics if metric.name == name)


def test_time_in_the_model_is_a_warning_by_default() -> None:
    found = judged(**SLOWER)
    assert metric(found, "time_p95").verdict is Verdict.FAIL
    assert found.verdict is not Verdict.FAIL
    assert any(warning.startswith("time in the model: 60 of 200 on the canary") for warning in found.warnings)


def test_time_in_the_model_rolls_back_when_the_spec_says_so() -> None:
    found = judged(analysis=Analysis(latency=Latency(critical=True)), **SLOWER)
    assert (found.verdict, found.warnings) == (Verdict.FAIL, ())


def test_time_in_the_model_can_be_switched_off() -> None:
    found = judged(analysis=Analysis(latency=Latency(quantiles=())), **SLOWER)
    assert {metric.kind for metric in found.metrics} == {"errors", "latency"}


def test_shares_above_a_quantile_are_of_the_requests_that_were_timed() -> None:
    found = judged(quantiles={"p95": (5, 45)}, timed=(100, 900))
    assert metric(found, "time_p95").e_worse < 1.0
    assert metric(found, "time_p95").estimate == {"canary_share": 0.05, "champion_share": 0.05}


def test_other_scores_are_a_warning_by_default_and_roll_back_when_the_spec_says_so() -> None:
    found = judged(**MOVED)
    assert (found.verdict is Verdict.FAIL, len(found.warnings)) == (False, 1)
    assert judged(analysis=Analysis(predictions=Predictions(critical=True)), **MOVED).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("paired", "verdict"),
    [
        ((200, 0), Verdict.PASS),
        ((200, 40), Verdict.FAIL),
        ((200, 8), Verdict.INCONCLUSIVE),
        ((2, 2), Verdict.INCONCLUSIVE),
    ],
)
def test_disagreements_are_held_against_their_bound(paired: tuple[int, int], verdict: Verdict) -> None:
    assert metric(judged(analysis=BOUNDED, paired=paired), "paired").verdict is verdict


def test_a_pass_waits_for_bounded_disagreements_once_there_are_any() -> None:
    assert judged_fine(analysis=BOUNDED) is Verdict.PASS
    assert judged_fine(analysis=BOUNDED, paired=(10, 0)) is Verdict.INCONCLUSIVE
    assert judged_fine(analysis=BOUNDED, paired=(200, 0)) is Verdict.PASS


def test_a_shadow_always_waits_for_bounded_disagreements() -> None:
    assert judged_fine(analysis=BOUNDED, strategy="shadow") is Verdict.INCONCLUSIVE
    assert judged_fine(analysis=BOUNDED, strategy="shadow", paired=(200, 0)) is Verdict.PASS


def test_a_shadow_has_no_latency_objective() -> None:
    assert [metric.name for metric in judged(strategy="shadow").metrics] == ["errors"]


def judged_fine(*, analysis: Analysis, strategy: Any = "canary", **parts: Any) -> Verdict:
    """After a second block, that is enough to pass by errors and latency."""
    rollout = Rollout(strategy=strategy, analysis=analysis)
    share = 0.0 if strategy == "shadow" else 0.1
    block = Block(300, 2700, 0, 0, 0, 0, share=share, **parts)
    return assess(fold(Evidence.none(analysis), block, analysis), rollout).verdict


def test_disagreements_without_a_bound_are_reported_and_decide_nothing() -> None:
    found = judged(paired=(200, 200))
    assert (metric(found, "paired").critical, found.warnings) == (False, ())
    assert metric(found, "paired").estimate == {"disagreement": 1.0}


def sharing_alpha(rollout: Rollout) -> tuple[float, float]:
    """How many tests share alpha: those that roll back, and those that warn."""
    budget = Budget.of(rollout)
    return round(rollout.analysis.alpha / budget.critical), round(rollout.analysis.alpha / budget.reported)


def test_alpha_is_shared_by_the_tests_that_are_switched_on() -> None:
    assert sharing_alpha(Rollout()) == (2, 4)
    assert sharing_alpha(Rollout(strategy="shadow")) == (1, 4)
    everything = Analysis(
        latency=Latency(critical=True),
        predictions=Predictions(critical=True),
        paired=Paired(max_disagreement=0.1),
        outcomes=(
            Outcome(name="wrong", of="error", max_harm=0.1),
            Outcome(name="loss", of="log_loss", max_harm=0.1, critical=False),
        ),
        promql=(PromQL(name="cpu", query="cpu", max=1.0),),
    )
    assert sharing_alpha(Rollout(analysis=everything)) == (2 + 3 + 1 + 1 + 1, 1)
