"""Metrics of several classes: equal to scikit-learn's, and compared by the same bootstrap and gates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from mlops_ray.errors import ValidationError
from mlops_ray.evaluation import evaluate_gates, paired_difference, score, scores
from mlops_ray.spec import Gate, Metric
from mlops_ray.verdict import Verdict


@given(st.integers(2, 6), st.integers(1, 80), st.integers(0, 2**31))
def test_each_metric_is_that_of_scikit_learn(classes: int, rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows).astype(np.float64)
    shares = random.dirichlet(np.ones(classes), rows)
    said, codes = shares.argmax(axis=1), list(range(classes))
    f1 = sklearn.f1_score(labels, said, labels=codes, average="macro", zero_division=0)
    assert score("f1", labels, shares) == pytest.approx(f1)
    assert score("accuracy", labels, shares) == pytest.approx(sklearn.accuracy_score(labels, said))
    assert score("log_loss", labels, shares) == pytest.approx(sklearn.log_loss(labels, shares, labels=codes))


def test_all_metrics_of_the_task_are_told() -> None:
    found = scores("multiclass", np.array([0.0, 1.0, 2.0]), np.eye(3))
    assert found == {"accuracy": 1.0, "log_loss": pytest.approx(0.0, abs=1e-9), "f1": 1.0}


@pytest.mark.parametrize(
    ("metric", "labels", "shares", "what"),
    [
        ("auc", [0.0], [[0.5, 0.5]], "auc: is not for several classes"),
        ("accuracy", [2.0], [[0.5, 0.5]], "expected labels from 0 to 1, found 2"),
        ("accuracy", [0.5], [[0.5, 0.5]], "found 0.5"),
        ("accuracy", [0.0, 1.0], [[0.5, 0.5]], "as many predictions as labels"),
        ("log_loss", [0.0], [[1.5, -0.5]], "expected probabilities"),
        ("log_loss", [0.0], [[np.nan, 0.5]], "expected finite predictions"),
    ],
)
def test_rows_that_cannot_be_scored_are_refused(
    metric: Metric, labels: list[float], shares: list[list[float]], what: str
) -> None:
    with pytest.raises(ValidationError, match=what):
        score(metric, np.array(labels), np.array(shares))


def test_a_better_model_is_seen_by_the_bootstrap_and_the_gates() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 600).astype(np.float64)
    good = 0.6 * np.eye(3)[labels.astype(int)] + 0.4 * random.dirichlet(np.ones(3), 600)
    poor = random.dirichlet(np.ones(3), 600)
    for metric in ("accuracy", "f1", "log_loss"):
        assert paired_difference(metric, labels, good, poor, seed=1).low > 0
    gates = [Gate(metric="f1", not_worse_by=0.01), Gate(metric="accuracy", min=0.5)]
    assert evaluate_gates(gates, "multiclass", labels, good, poor, seed=1).verdict is Verdict.PASS
    assert evaluate_gates(gates, "multiclass", labels, poor, good, seed=1).verdict is Verdict.FAIL
