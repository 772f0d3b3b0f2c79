"""The worst slices: found where they were planted, and not where there are none."""

import numpy as np
from numpy.typing import NDArray

from mlops_ray.evaluation import Slice, SliceColumn, worst_slices
from mlops_ray.spec import Slices

ROWS = 4_000


def columns(generator: np.random.Generator) -> list[SliceColumn]:
    """Two categories and six numbers."""
    plan = SliceColumn("plan", generator.integers(0, 3, ROWS).astype(np.float64), ("basic", "plus", "pro"))
    region = SliceColumn("region", generator.integers(0, 5, ROWS).astype(np.float64), tuple("abcde"))
    return [plan, region, *(SliceColumn(f"x{i}", generator.normal(size=ROWS)) for i in range(6))]


def found(seed: int, planted: NDArray[np.bool_] | None = None, **changes: int) -> tuple[Slice, ...]:
    generator = np.random.default_rng(seed)
    known = columns(generator)
    rate = np.full(ROWS, 0.1) if planted is None else np.where(planted, 0.45, 0.1)
    return worst_slices(known, generator.random(ROWS) < rate, Slices(**changes))


def test_without_a_bad_slice_next_to_none_is_told() -> None:
    assert sum(bool(found(seed)) for seed in range(40)) <= 4


def test_a_bad_value_is_found() -> None:
    plan = columns(np.random.default_rng(1))[0].values
    assert found(1, plan == 2)[0].conditions == ("plan = pro",)


def test_a_bad_pair_is_found_and_told_before_its_parts() -> None:
    known = columns(np.random.default_rng(2))
    worst = found(2, (known[0].values == 2) & (known[1].values == 3))[0]
    assert worst.conditions == ("plan = pro", "region = d")
    assert worst.error > 0.35
    assert 0 < worst.low < worst.excess


def test_a_bad_range_of_a_number_is_found() -> None:
    x0 = columns(np.random.default_rng(3))[2].values
    worst = found(3, x0 > np.quantile(x0, 0.75))[0]
    assert worst.conditions[0].startswith("x0 >= ")


def test_missing_values_are_a_slice() -> None:
    values = np.random.default_rng(4).normal(size=ROWS)
    values[:800] = np.nan
    wrong = np.random.default_rng(5).random(ROWS) < np.where(np.isnan(values), 0.5, 0.1)
    assert worst_slices([SliceColumn("x", values)], wrong, Slices())[0].conditions == ("x is missing",)


def test_few_rows_are_no_slice() -> None:
    plan = columns(np.random.default_rng(6))[0].values
    assert found(6, plan == 2, min_rows=2_500) == ()


def test_no_rows_have_no_slices() -> None:
    assert worst_slices([SliceColumn("x", np.empty(0))], np.empty(0, dtype=bool), Slices()) == ()
    assert worst_slices([SliceColumn("x", np.ones(500))], np.ones(500, dtype=bool), Slices()) == ()
