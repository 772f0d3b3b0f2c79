import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from mlops_ray.drift import Column, build_reference, fold, rebuilt_rows

Values = NDArray[np.float64]


def rebuilt(values: Values, rows: int = 2000) -> Values:
    reference = build_reference([Column("x", "numeric")], values[:, None])
    return rebuilt_rows(reference, rows, seed=1)[:, 0]


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(1).normal(50, 7, 20_000),
        np.random.default_rng(1).uniform(size=20_000),
        np.random.default_rng(1).exponential(3, 20_000),
        np.random.default_rng(1).integers(0, 12, 20_000).astype(float),
        np.random.default_rng(1).poisson(300, 20_000).astype(float),
        np.where(np.arange(20_000) % 3 == 0, 0.0, np.random.default_rng(1).normal(5, 1, 20_000)),
    ],
    ids=["normal", "uniform", "exponential", "few", "counts", "atom"],
)
def test_rows_made_again_are_nearer_to_the_reference_than_as_many_drawn_from_it(values: Values) -> None:
    spread = values.std()
    off = wasserstein_distance(values, rebuilt(values)) / spread
    generator = np.random.default_rng(7)
    drawn = [wasserstein_distance(values, generator.choice(values, 2000)) / spread for _ in range(9)]
    assert off <= np.median(drawn)


def test_whole_numbers_stay_whole_and_missing_values_missing() -> None:
    values = np.random.default_rng(1).poisson(300, 5000).astype(float)
    values[::4] = np.nan
    found = rebuilt(values)
    assert np.isnan(found).mean() == pytest.approx(0.25, abs=1e-3)
    known = found[np.isfinite(found)]
    np.testing.assert_array_equal(known, np.round(known))


def test_amounts_are_not_made_negative() -> None:
    assert rebuilt(np.random.default_rng(1).lognormal(0, 1, 5000)).min() >= 0
    assert rebuilt(np.random.default_rng(1).normal(0, 1, 5000)).min() < -2


def test_categories_have_their_shares_with_unseen_and_missing_ones() -> None:
    codes = np.array([0.0] * 50 + [1.0] * 30 + [2.0] * 15 + [np.nan] * 5)
    reference = build_reference([Column("plan", "categorical", ("a", "b"))], codes[:, None])
    rows = rebuilt_rows(reference, 200, seed=1)
    assert fold(reference, rows).counts[0].tolist() == [100, 60, 30, 10]


def test_the_same_seed_makes_the_same_rows_and_columns_are_independent() -> None:
    values = np.sort(np.random.default_rng(1).normal(size=2000))
    both = np.column_stack((values, values))
    reference = build_reference([Column("x", "numeric"), Column("y", "numeric")], both)
    rows = rebuilt_rows(reference, 1000, seed=3)
    np.testing.assert_array_equal(rows, rebuilt_rows(reference, 1000, seed=3))
    centred = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    assert abs((centred[:, 0] * centred[:, 1]).mean()) < 0.1


def test_an_empty_column_is_all_missing() -> None:
    reference = build_reference([Column("x", "numeric")], np.full((10, 1), np.nan))
    assert np.isnan(rebuilt_rows(reference, 5, seed=0)).all()
