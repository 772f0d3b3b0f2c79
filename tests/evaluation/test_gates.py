"""Every verdict a gate can have, and how they add up."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_ray.errors import SpecError, ValidationError
from mlops_ray.evaluation import GateReport, evaluate_gates
from mlops_ray.spec import Gate
from mlops_ray.verdict import Verdict

RANDOM = np.random.default_rng(0)
Y = np.repeat([0.0, 1.0], 500)
GOOD = np.clip(0.4 * Y + 0.6 * RANDOM.random(1000), 0, 1)
NUDGED = np.clip(GOOD + 0.02 * RANDOM.normal(size=1000), 0, 1)
POOR = np.clip(0.1 * Y + 0.9 * RANDOM.random(1000), 0, 1)
OTHER_POOR = np.clip(0.1 * Y + 0.9 * RANDOM.random(1000), 0, 1)


def report(*gates: Gate, candidate: NDArray[np.float64] = GOOD, champion: Any = None) -> GateReport:
    return evaluate_gates(gates, "binary", Y, candidate, champion, seed=0)


def test_no_gates_pass_with_all_metrics_told() -> None:
    found = report(champion=POOR)
    assert (found.verdict, found.results) == (Verdict.PASS, ())
    assert found.champion_metrics is not None
    assert found.metrics["auc"] > found.champion_metrics["auc"]


@pytest.mark.parametrize(
    ("gate", "verdict", "says"),
    [
        (Gate(metric="auc", min=0.7), Verdict.PASS, "meets at least 0.7"),
        (Gate(metric="auc", min=0.999), Verdict.FAIL, "needs at least 0.999"),
        (Gate(metric="brier", max=0.5), Verdict.PASS, "meets at most 0.5"),
        (Gate(metric="brier", max=0.001), Verdict.FAIL, "needs at most 0.001"),
    ],
)
def test_a_bound_passes_or_fails(gate: Gate, verdict: Verdict, says: str) -> None:
    found = report(gate)
    assert (found.verdict, found.results[0].verdict) == (verdict, verdict)
    assert says in found.results[0].message
    assert found.results[0].value == found.metrics[gate.metric]


@pytest.mark.parametrize(
    ("candidate", "champion", "margin", "verdict"),
    [
        (GOOD, POOR, 0.0, Verdict.PASS),
        (NUDGED, GOOD, 0.02, Verdict.PASS),
        (POOR, GOOD, 0.05, Verdict.FAIL),
        (OTHER_POOR, POOR, 0.01, Verdict.INCONCLUSIVE),
    ],
    ids=["better", "as good", "worse", "too noisy to say"],
)
def test_a_comparison_passes_fails_or_stays_open(
    candidate: Any, champion: Any, margin: float, verdict: Verdict
) -> None:
    found = report(Gate(metric="auc", not_worse_by=margin), candidate=candidate, champion=champion)
    result = found.results[0]
    assert (found.verdict, result.verdict, result.kind) == (verdict, verdict, "not_worse_by")
    assert result.low is not None
    assert result.high is not None
    assert result.low <= (result.value or 0.0) <= result.high


def test_a_comparison_without_champion_passes_and_says_so() -> None:
    found = report(Gate(metric="auc", not_worse_by=0.0))
    assert (found.verdict, found.results[0].value) == (Verdict.PASS, None)
    assert "no champion" in found.results[0].message
    assert found.champion_metrics is None


def test_a_gate_with_several_conditions_gives_a_result_for_each() -> None:
    found = report(Gate(metric="auc", min=0.7, max=0.99, not_worse_by=0.1), champion=POOR)
    assert [result.kind for result in found.results] == ["min", "max", "not_worse_by"]


def test_fail_outweighs_inconclusive_and_that_outweighs_pass() -> None:
    failing, open_, passing = (
        Gate(metric="auc", min=0.99),
        Gate(metric="auc", not_worse_by=0.01),
        Gate(metric="f1", min=0),
    )
    both = {"candidate": OTHER_POOR, "champion": POOR}
    assert report(passing, open_, failing, **both).verdict is Verdict.FAIL
    assert report(passing, open_, **both).verdict is Verdict.INCONCLUSIVE
    assert report(passing, **both).verdict is Verdict.PASS


def test_a_report_survives_json() -> None:
    found = report(Gate(metric="auc", min=0.7, not_worse_by=0.1), champion=POOR)
    assert GateReport.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found


def test_a_metric_of_another_task_is_refused() -> None:
    with pytest.raises(SpecError, match="expected a metric of task binary"):
        report(Gate(metric="rmse", max=1))


def test_a_holdout_with_one_class_is_refused() -> None:
    with pytest.raises(ValidationError, match="both classes"):
        evaluate_gates([], "binary", np.ones(10), np.full(10, 0.5), None, seed=0)
