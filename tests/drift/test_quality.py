"""Broken columns are named, with what is seen; columns that only drifted are not called broken."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_ray.drift import Column, QualityProblem, build_reference, check_quality, fold
from mlops_ray.spec import Quality

COLUMNS = [
    Column("income", "numeric"),
    Column("celsius", "numeric"),
    Column("centred", "numeric"),
    Column("visits", "numeric"),
    Column("plan", "categorical", ("basic", "plus", "pro")),
    Column("age", "numeric"),
]


def draw(random: np.random.Generator, rows: int) -> NDArray[np.float64]:
    """Rows of COLUMNS; a tenth of the ages is missing."""
    age = random.normal(40, 12, rows)
    age[random.uniform(size=rows) < 0.1] = np.nan
    return np.column_stack(
        [
            np.exp(random.normal(8, 0.7, rows)),
            random.normal(15, 8, rows),
            random.normal(size=rows),
            random.poisson(0.8, rows),
            random.choice(3, rows, p=[0.6, 0.3, 0.1]),
            age,
        ]
    ).astype(np.float64)


REFERENCE = build_reference(COLUMNS, draw(np.random.default_rng(0), 20_000))


def problems(change: Any, *, rows: int = 300, seed: int = 1, **limits: Any) -> list[QualityProblem]:
    """What is found in rows that `change` was done to."""
    matrix = draw(np.random.default_rng(seed), rows)
    change(matrix)
    return list(check_quality(REFERENCE, fold(REFERENCE, matrix), Quality(**limits)))


def put(column: int, value: Any, share: float = 1.0) -> Any:
    """Change a share of the rows of a column."""

    def change(matrix: NDArray[np.float64]) -> None:
        some = np.arange(len(matrix)) < share * len(matrix)
        matrix[some, column] = value(matrix[some, column]) if callable(value) else value

    return change


@pytest.mark.parametrize(
    ("change", "feature", "breakage", "said"),
    [
        (put(0, 0.0), "income", "constant", "income: all 300 values are 0; in the reference they vary"),
        (put(1, 7.0), "celsius", "constant", "all 300 values are about 7;"),
        (put(4, 0.0), "plan", "constant", "plan: all 300 values are 'basic'"),
        (put(0, lambda x: 1000 * x), "income", "units", "values are about 1,000 times those of the reference"),
        (put(0, lambda x: x / 1000), "income", "units", "about 0.001 times"),
        (put(0, lambda x: 60 * x), "income", "units", "about 6"),
        (put(2, lambda x: 1000 * x), "centred", "units", "about 1,000 times"),
        (put(1, lambda x: 1.8 * x + 32), "celsius", "units", "converted from degrees Celsius to Fahrenheit"),
        (put(1, lambda x: x + 273.15), "celsius", "units", "converted from degrees Celsius to kelvin"),
        (put(0, np.nan, 0.3), "income", "missing", "30% of the values are missing, 0.0% in the reference"),
        (put(5, np.nan), "age", "missing", "every value is missing; renamed, no longer sent, or of another type?"),
        (put(0, np.inf, 0.3), "income", "infinite", "30% of the values are infinite"),
        (put(4, 3.0, 0.25), "plan", "unseen", "25% of the values are none of the 3 known categories"),
        (put(4, 3.0), "plan", "unseen", "another spelling, or of another type?"),
        (put(0, 0.0, 0.2), "income", "zeros", "20% of the values are 0, 0.0% in the reference"),
        (put(5, 500.0, 0.3), "age", "out_of_range", "the range of the reference, by 4"),
    ],
)
def test_a_broken_column_is_named_with_what_is_seen(change: Any, feature: str, breakage: str, said: str) -> None:
    (problem,) = problems(change)
    if breakage == "unseen" and "another" in said:
        assert problem.share == 1
    assert (problem.feature, problem.breakage) == (feature, breakage)
    assert said in problem.message


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("rows", [100, 1000])
def test_rows_like_the_reference_are_not_broken(rows: int, seed: int) -> None:
    assert problems(put(0, 0.0, 0.0), rows=rows, seed=seed) == []


@pytest.mark.parametrize(
    "change",
    [
        put(0, lambda x: 2 * x),  # dearer by half of a min_factor
        put(1, lambda x: x + 8),
        put(2, lambda x: 2 * x),
        put(2, lambda x: x + 1),
        put(3, lambda x: x + 1),
        put(3, 0.0, 0.3),  # zeros are usual there
        put(4, 2.0, 0.5),
        put(5, np.nan, 0.05),
    ],
)
def test_what_may_be_a_change_of_the_world_is_not_broken(change: Any) -> None:
    assert problems(change, rows=1000) == []


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize(("widths", "found"), [(0.05, False), (0.4, False), (0.6, True), (3.0, True)])
def test_values_near_the_range_may_be_a_change_of_the_world(side: int, widths: float, found: bool) -> None:
    """A price that falls below all that the training saw is drift; so nothing keeps a model from learning it."""
    celsius = REFERENCE.features[1]
    assert celsius.low is not None
    assert celsius.high is not None
    edge = celsius.low if side < 0 else celsius.high
    outside = edge + side * widths * (celsius.high - celsius.low)
    seen = problems(put(1, outside, 0.4), rows=1000)
    assert [(p.feature, p.breakage) for p in seen] == ([("celsius", "out_of_range")] if found else [])
    if found:
        assert f"by {widths:.2g} times its width on average" in seen[0].message
    assert [p.breakage for p in problems(put(1, outside, 0.4), rows=1000, min_excess=0.0)] == ["out_of_range"]


def test_too_few_rows_say_nothing() -> None:
    assert problems(put(0, 0.0), rows=99) == []


def test_limits_are_those_of_the_spec() -> None:
    assert problems(put(0, np.nan, 0.3), max_missing=0.5) == []
    assert [p.breakage for p in problems(put(0, lambda x: 1000 * x), units=False)] == ["out_of_range"]


def test_only_the_features_asked_for_are_looked_at() -> None:
    matrix = draw(np.random.default_rng(1), 300)
    matrix[:, 0] = 0.0
    assert check_quality(REFERENCE, fold(REFERENCE, matrix), Quality(), features=["age"]) == ()
