"""Metrics equal scikit-learn's, and refuse what they cannot score."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics

from mlops_ray.errors import ValidationError
from mlops_ray.evaluation import score, scores
from mlops_ray.spec import METRICS, Metric

Array = NDArray[np.float64]

SKLEARN: Mapping[Metric, Callable[[Array, Array], Any]] = {
    "auc": sklearn_metrics.roc_auc_score,
    "log_loss": lambda y, p: sklearn_metrics.log_loss(y, p, labels=[0, 1]),
    "accuracy": lambda y, p: sklearn_metrics.accuracy_score(y, p >= 0.5),
    "brier": sklearn_metrics.brier_score_loss,
    "f1": lambda y, p: sklearn_metrics.f1_score(y, p >= 0.5, zero_division=0),
    "rmse": sklearn_metrics.root_mean_squared_error,
    "mae": sklearn_metrics.mean_absolute_error,
    "r2": sklearn_metrics.r2_score,
}
BINARY: list[Metric] = ["auc", "log_loss", "accuracy", "brier", "f1"]
REGRESSION: list[Metric] = ["rmse", "mae", "r2"]


@pytest.mark.parametrize("metric", BINARY)
@pytest.mark.parametrize("decimals", [1, 2, 15], ids=lambda d: f"{d} decimals")
@pytest.mark.parametrize("rows", [7, 100, 3000])
def test_binary_metrics_equal_scikit_learn_with_and_without_ties(metric: Metric, decimals: int, rows: int) -> None:
    random = np.random.default_rng(rows + decimals)
    y = (random.random(rows) < 0.4).astype(np.float64)
    y[:2] = 0, 1
    p = np.clip(0.3 * y + 0.7 * random.random(rows), 0, 1).round(decimals)
    assert score(metric, y, p) == pytest.approx(SKLEARN[metric](y, p), abs=1e-12, rel=1e-12)


@pytest.mark.parametrize("metric", REGRESSION)
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_regression_metrics_equal_scikit_learn(metric: Metric, offset: float) -> None:
    random = np.random.default_rng(3)
    y = random.normal(size=2000) + offset
    p = y + random.normal(size=2000)
    assert score(metric, y, p) == pytest.approx(SKLEARN[metric](y, p), rel=1e-12)


@given(arrays.arrays(np.float64, st.integers(2, 30), elements=st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0])), st.data())
def test_auc_equals_scikit_learn_however_small_and_tied(p: Array, data: st.DataObject) -> None:
    y = data.draw(arrays.arrays(np.float64, len(p), elements=st.sampled_from([0.0, 1.0])))
    y[:2] = 0, 1
    assert score("auc", y, p) == pytest.approx(sklearn_metrics.roc_auc_score(y, p), abs=1e-12)


def test_certain_and_wrong_probabilities_cost_a_finite_log_loss_as_in_scikit_learn() -> None:
    y, p = np.array([0.0, 1.0, 1.0]), np.array([1.0, 0.0, 1.0])
    assert score("log_loss", y, p) == pytest.approx(SKLEARN["log_loss"](y, p), rel=1e-12)


def test_f1_without_any_positive_is_0() -> None:
    assert score("f1", np.zeros(3), np.zeros(3)) == 0.0


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_scores_has_every_metric_of_the_task(task: Any) -> None:
    found = scores(task, np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.4, 0.9]))
    assert list(found) == list(METRICS[task])


@pytest.mark.parametrize(
    ("metric", "labels", "predictions", "says"),
    [
        ("auc", [1.0, 1.0], [0.1, 0.2], "both classes"),
        ("auc", [0.0, 1.0], [0.1, np.nan], "finite predictions"),
        ("rmse", [0.0, np.inf], [0.1, 0.2], "finite labels"),
        ("auc", [0.0, 2.0], [0.1, 0.2], "labels 0 and 1, found 2"),
        ("brier", [0.0, 1.0], [0.1, 1.2], "probabilities"),
        ("mae", [1.0, 2.0], [1.0], "as many predictions"),
        ("mae", [], [], "as many predictions"),
        ("r2", [3.0, 3.0], [1.0, 2.0], "undefined"),
    ],
)
def test_rows_that_cannot_be_scored_are_refused_with_the_reason(
    metric: Metric, labels: list[float], predictions: list[float], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        score(metric, np.array(labels), np.array(predictions))
