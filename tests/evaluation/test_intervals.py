"""Intervals that hold the truth as often as they say, metrics equal to scikit-learn's, estimates without labels."""

import numpy as np
import pytest
from sklearn import metrics as sk

from mlops_ray.evaluation import Calibration, estimate_performance, measure_outcomes, metric_limits
from mlops_ray.spec import Metric


def rows(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    p = generator.beta(1.5, 2.0, count)
    return (generator.random(count) < p).astype(np.float64), p


Y, P = rows(0, 200_000)


@pytest.mark.parametrize("metric", ["auc", "accuracy", "log_loss", "f1", "brier"])
def test_limits_hold_the_truth_about_as_often_as_they_say(metric: Metric) -> None:
    truth = measure_outcomes("binary", Y[:20_000], P[:20_000], level=0.95, seed=0).metrics[metric]
    held = 0
    for seed in range(1, 101):
        limits = metric_limits(metric, *rows(seed), level=0.95, seed=seed)
        assert limits is not None
        held += limits[0] <= truth <= limits[1]
    assert 86 <= held <= 100


def test_precision_recall_and_pr_auc_are_those_of_scikit_learn() -> None:
    y, p = rows(1)
    p = np.round(p, 1)  # ties
    found = measure_outcomes("binary", y, p, level=0.95, seed=0)
    assert found.metrics["pr_auc"] == pytest.approx(sk.average_precision_score(y, p))
    assert found.metrics["precision"] == pytest.approx(sk.precision_score(y, p >= 0.5))
    assert found.metrics["recall"] == pytest.approx(sk.recall_score(y, p >= 0.5))


@pytest.mark.parametrize("task", ["regression", "multiclass"])
def test_other_tasks_have_limits_too(task: str) -> None:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 300).astype(np.float64)
    p = generator.dirichlet(np.ones(3), 300) if task == "multiclass" else y + generator.normal(size=300)
    found = measure_outcomes(task, y, p, level=0.95, seed=0)  # type: ignore[arg-type]
    assert set(found.limits) == set(found.metrics)
    assert all(low <= found.metrics[name] <= high for name, (low, high) in found.limits.items())


def test_labels_of_one_class_leave_only_what_is_defined() -> None:
    found = measure_outcomes("binary", np.ones(50), np.full(50, 0.9), level=0.95, seed=0)
    assert "auc" not in found.metrics
    assert found.metrics["accuracy"] == 1.0


def test_the_same_seed_gives_the_same_limits() -> None:
    assert metric_limits("f1", *rows(2), level=0.95, seed=3) == metric_limits("f1", *rows(2), level=0.95, seed=3)


GOOD = Calibration(error=0.01, slope=1.0, intercept=0.0)


def test_an_estimate_is_near_the_truth_where_probabilities_are_right() -> None:
    y, p = rows(4, 5_000)
    found = estimate_performance(p, GOOD, max_error=0.05, seed=0)
    truth = measure_outcomes("binary", y, p, level=0.95, seed=0).metrics
    for name, value in found.metrics.items():
        assert value == pytest.approx(truth[name], abs=0.03), name
        low, high = found.bands[name]
        assert low <= truth[name] <= high, name
    assert "blind to concept drift" in found.note


def test_an_estimate_is_blind_to_concept_drift() -> None:
    """The same features mean the opposite: nothing of it shows."""
    y, p = rows(5, 5_000)
    estimated = estimate_performance(p, GOOD, max_error=0.05, seed=0).metrics["accuracy"]
    assert estimated > 0.6
    assert measure_outcomes("binary", 1 - y, p, level=0.95, seed=0).metrics["accuracy"] < 0.4


@pytest.mark.parametrize("calibration", [None, Calibration(error=0.2, slope=0.3, intercept=0.0)])
def test_nothing_is_estimated_from_probabilities_that_are_wrong(calibration: Calibration | None) -> None:
    found = estimate_performance(P[:500], calibration, max_error=0.05, seed=0)
    assert (found.metrics, found.note.split(":")[0]) == ({}, "not estimated")
