"""What is kept of a holdout, and what it lets expect."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mlops_ray.evaluation import (
    Calibration,
    HoldoutFacts,
    calibration_of,
    compare_labels,
    count_labels,
    errors_of,
    facts_of,
)
from mlops_ray.spec import LabelDrift

GENERATOR = np.random.default_rng(0)
P = GENERATOR.random(5_000)
Y = (GENERATOR.random(5_000) < P).astype(np.float64)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_facts_survive_their_trip_through_json(task: str) -> None:
    predictions = np.column_stack([1 - P, P]) if task == "multiclass" else P
    facts = facts_of(task, Y, predictions, Y)  # type: ignore[arg-type]
    assert HoldoutFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts


def test_the_bound_is_above_the_error_and_nears_it_with_more_rows() -> None:
    few, many = facts_of("binary", Y[:300], P[:300], Y), facts_of("binary", Y, P, Y)
    assert few.error < few.error_bound()
    assert many.error < many.error_bound() < many.error + 0.03
    assert few.error_bound() - few.error > many.error_bound() - many.error


def test_a_holdout_whose_error_changes_in_time_lets_expect_more() -> None:
    """As many errors, in one part of it."""
    labels = np.zeros(1_000)
    spread, bunched = np.zeros(1_000), np.zeros(1_000)
    spread[::5], bunched[:200] = 1.0, 1.0
    even, uneven = facts_of("binary", labels, spread, Y), facts_of("binary", labels, bunched, Y)
    assert even.error == uneven.error
    assert uneven.error_bound() > even.error_bound() + 0.1


def test_a_tenth_of_a_regressions_holdout_counts_as_wrong() -> None:
    facts = facts_of("regression", Y, P, Y)
    assert facts.error == pytest.approx(0.1, abs=0.001)
    assert errors_of("regression", np.zeros(2), np.array([0.1, 9.0]), limit=facts.error_limit).tolist() == [False, True]


def test_of_several_classes_places_and_probabilities_give_the_same_errors() -> None:
    probabilities = GENERATOR.dirichlet(np.ones(3), 100)
    labels = GENERATOR.integers(0, 3, 100).astype(np.float64)
    places = probabilities.argmax(axis=1).astype(np.float64)
    whole = errors_of("multiclass", labels, probabilities, limit=None)
    assert (whole == errors_of("multiclass", labels, places, limit=None)).all()


def test_slope_and_intercept_are_those_of_a_logistic_regression() -> None:
    too_sure = 1 / (1 + np.exp(-(2 * np.log(P / (1 - P)) + 0.5)))
    found = calibration_of(Y, too_sure)
    odds = np.log(np.clip(too_sure, 1e-6, 1 - 1e-6) / (1 - np.clip(too_sure, 1e-6, 1 - 1e-6)))
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(odds[:, None], Y)
    assert found.slope == pytest.approx(float(theirs.coef_[0, 0]), abs=1e-4)
    assert found.intercept == pytest.approx(float(theirs.intercept_[0]), abs=1e-4)
    assert found.error > calibration_of(Y, P).error + 0.05


def test_calibrated_probabilities_have_a_slope_of_one() -> None:
    found = calibration_of(Y, P)
    assert found.slope == pytest.approx(1.0, abs=0.1)
    assert found.error < 0.03


def test_labels_of_one_kind_have_no_slope() -> None:
    assert calibration_of(np.ones(100), P[:100]) == Calibration(
        error=calibration_of(np.ones(100), P[:100]).error, slope=None, intercept=None
    )


def test_outcomes_as_in_the_training_are_no_drift() -> None:
    found = compare_labels(count_labels("binary", Y), (GENERATOR.random(2_000) < 0.5).astype(np.float64), LabelDrift())
    assert found is not None
    assert not found.drifted


def test_a_small_difference_is_no_drift_however_sure_it_is() -> None:
    many = np.tile([1.0] * 55 + [0.0] * 45, 2_000)
    found = compare_labels(count_labels("binary", Y), many, LabelDrift())
    assert found is not None
    assert found.p_value < 1e-6
    assert not found.drifted


def test_a_large_difference_of_few_labels_is_no_drift() -> None:
    assert compare_labels(count_labels("binary", Y), np.ones(19), LabelDrift(min_labels=20)) is None


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_outcomes_are_drift(task: str) -> None:
    training = GENERATOR.integers(0, 4, 4_000).astype(np.float64)
    training = training if task == "multiclass" else GENERATOR.normal(size=4_000)
    known = count_labels(task, training, classes=4)  # type: ignore[arg-type]
    shifted = np.minimum(training[:1_000] + 1, 3) if task == "multiclass" else training[:1_000] + 0.5
    found = compare_labels(known, shifted, LabelDrift())
    assert found is not None
    assert found.drifted
    assert 0 < found.low < found.distance


def test_outcomes_that_change_in_the_training_itself_have_to_change_by_more() -> None:
    training = np.concatenate([np.zeros(500), np.ones(500)])
    found = compare_labels(count_labels("binary", training), np.ones(500), LabelDrift())
    assert found is not None
    assert found.floor > 0.5
    assert not found.drifted
