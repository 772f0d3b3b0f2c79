import math

import numpy as np
import pytest

from mlops_ray.drift import Column, QualityProblem, build_reference, fold
from mlops_ray.monitor.sample_rows import broken, grown, hidden_by, shown
from tests.monitor.samples import toy_spec

NUMBERS = np.random.default_rng(0).normal(size=(2000, 1))
NUMERIC = build_reference([Column("a", "numeric", ())], NUMBERS)
CODES = build_reference([Column("a", "categorical", ("x", "y"))], np.array([[0.0]] * 50 + [[1.0]] * 50))
NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("breakage", "expected"),
    [
        ("missing", [1, 0, 0, 0, 0]),
        ("infinite", [0, 1, 0, 0, 0]),
        ("zeros", [0, 0, 1, 0, 0]),
        ("out_of_range", [0, 1, 0, 1, 0]),
        ("units", [0, 0, 1, 1, 1]),
        ("constant", [0, 0, 1, 1, 1]),
    ],
)
def test_each_breakage_has_its_broken_values(breakage: str, expected: list[int]) -> None:
    problem = QualityProblem("a", breakage, 1.0, 0.0, "a is broken")  # type: ignore[arg-type]
    assert broken(problem, NUMERIC.features[0], np.array([NAN, INF, 0.0, -50.0, 1.0])).tolist() == expected


def test_unseen_is_any_other_category() -> None:
    problem = QualityProblem("a", "unseen", 1.0, 0.0, "")
    assert broken(problem, CODES.features[0], np.array([NAN, 0.0, 1.0, 2.0])).tolist() == [0, 0, 0, 1]


def test_values_in_the_bins_that_grew_most_weigh_most() -> None:
    window = fold(NUMERIC, np.concatenate((NUMBERS[:200], np.full((300, 1), 2.5), np.full((100, 1), NAN))))
    weights = grown(NUMERIC.features[0], window, 0, np.array([2.5, 2.6, 0.0, -2.5, NAN, INF]))
    assert weights[0] == weights[1] == 1.0
    assert weights[2] == weights[3] == 0.0
    assert 0.0 < weights[4] == weights[5] < 1.0, "an infinite value counts as missing"


def test_categories_that_became_more_frequent_weigh_most() -> None:
    window = fold(CODES, np.array([[0.0]] * 20 + [[1.0]] * 60 + [[2.0]] * 20))
    weights = grown(CODES.features[0], window, 0, np.array([0.0, 1.0, 2.0, 9.0, NAN]))
    assert weights.tolist() == [0.0, pytest.approx(0.5), 1.0, 1.0, 0.0]


def test_a_window_like_the_reference_weighs_nothing() -> None:
    assert grown(CODES.features[0], fold(CODES, np.array([[0.0], [1.0]])), 0, np.array([0.0, 1.0])).tolist() == [0, 0]


def test_no_row_is_shown_twice_and_each_thing_once_before_any_twice() -> None:
    first, second = np.array([1.0, 1.0, 1.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.0, 1.0, 0.0])
    assert shown([first, second], 5, 3) == [0, 3, 1]
    assert sorted(shown([first, second], 5, 9)) == [0, 1, 2, 3, 4]
    assert shown([first], 5, 0) == []


def test_what_is_hashed_or_dropped_is_hidden() -> None:
    fields = {"a": "hash", "b": "keep", "unit": "drop"}
    assert hidden_by(toy_spec(serve={"latency_objective_ms": 100, "capture": {"fields": fields}})) == {"a", "unit"}
