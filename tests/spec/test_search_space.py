from typing import Any

import pytest
from pydantic import ValidationError

from mlops_ray.spec import Train, active, dimension_order, grid_points

BOOSTERS = {
    "rate_drop": {"uniform": [0.1, 0.5], "when": {"boosting": "dart"}},
    "skip_drop": {"choice": [0.3, 0.5], "when": {"boosting": "dart", "uniform_drop": [True]}},
    "uniform_drop": {"choice": [True, False], "when": {"boosting": "dart"}},
    "boosting": {"choice": ["gbdt", "dart"]},
}


def train(space: dict[str, Any], **more: Any) -> Train:
    return Train.model_validate({"space": space, **more})


def test_a_hyperparameter_comes_after_those_its_conditions_name() -> None:
    order = dimension_order(train(BOOSTERS).space)
    assert sorted(order) == sorted(BOOSTERS)
    assert order.index("boosting") < order.index("uniform_drop") < order.index("skip_drop")


def test_a_condition_holds_for_one_of_its_values_only() -> None:
    space = train(BOOSTERS).space
    assert active(space["skip_drop"], {"boosting": "dart", "uniform_drop": True})
    assert not active(space["skip_drop"], {"boosting": "dart", "uniform_drop": False})
    assert not active(space["skip_drop"], {"boosting": "gbdt"})
    assert active(space["boosting"], {})


def test_true_is_not_one() -> None:
    space = train({"a": {"choice": [1, True]}, "b": {"choice": [2], "when": {"a": True}}}).space
    assert [active(space["b"], {"a": value}) for value in (True, 1)] == [True, False]


def test_a_grid_has_every_combination_that_the_conditions_allow_once() -> None:
    space = dict(BOOSTERS, rate_drop={"choice": [0.1], "when": {"boosting": "dart"}}, num_leaves=7)
    points = list(grid_points(train(space).space))
    assert {(p["boosting"], p.get("uniform_drop"), p.get("skip_drop")) for p in points} == {
        ("gbdt", None, None),
        ("dart", True, 0.3),
        ("dart", True, 0.5),
        ("dart", False, None),
    }
    assert len(points) == 4
    assert all(p["num_leaves"] == 7 and ("rate_drop" in p) == (p["boosting"] == "dart") for p in points)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"a": {"choice": [1], "when": {"b": 1}}}, "space.a.when: 'b' is not in the space"),
        ({"a": {"choice": [1], "when": {"b": 1}}, "b": {"choice": [1], "when": {"a": 1}}}, "of a, b go in a circle"),
        ({"a": {"choice": [1], "when": {"a": 1}}}, "of a go in a circle"),
        ({"a": {"choice": [1], "when": {"b": 0.5}}, "b": {"uniform": [0, 1]}}, "'b' is a range of reals"),
        ({"a": {"choice": [1], "when": {"b": "x"}}, "b": {"choice": ["y"]}}, "'x' is no value of 'b'"),
        ({"a": {"choice": [1], "when": {"b": 9}}, "b": {"int_uniform": [1, 8]}}, "9 is no value of 'b'"),
        ({"a": {"choice": [1], "when": {"b": []}}, "b": 3}, "found an empty list"),
    ],
)
def test_a_condition_that_cannot_work_is_refused(space: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        train(space)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"search": "grid", "space": {"a": {"uniform": [0, 1]}}}, r"expected choice or a constant for space\.a"),
        ({"search": "grid", "space": {"a": {"choice": [1, 2, 3]}}, "trials": 2}, "expected at most 2, found more"),
        ({"scheduler": "pbt", "search": "random"}, "lightgbm's trainer cannot take over"),
        ({"scheduler": "pbt", "trainer": "torch"}, "expected search 'random', found 'optuna'"),
        ({"scheduler": "pbt", "trainer": "torch", "search": "random", "workers": 2}, "expected workers 1"),
        (
            {"scheduler": "pbt", "trainer": "torch", "search": "random", "space": {"hidden": {"choice": [8, 16]}}},
            r"space\.hidden has to be a constant",
        ),
        ({"scheduler": "pbt", "trainer": "own.module:train", "search": "random", "space": BOOSTERS}, "takes no `when`"),
        ({"workers": 2, "trainer": "own.module:train"}, "a trainer of your own runs in one process"),
        ({"time_budget_s": 0}, "greater than 0"),
    ],
)
def test_combinations_that_cannot_work_are_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Train.model_validate(section)
