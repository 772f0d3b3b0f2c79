"""References: what they keep of the training rows."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_ray.drift import Column, ReferenceProfile, build_reference
from mlops_ray.errors import ValidationError
from tests.drift.strategies import REFERENCE

X = [Column("x", "numeric")]


def test_a_reference_survives_json() -> None:
    assert ReferenceProfile.from_json(REFERENCE.to_json()) == REFERENCE


def test_counts_add_up_to_the_rows() -> None:
    assert {sum(feature.counts) for feature in REFERENCE.features} == {REFERENCE.rows}


def test_mean_and_deviation_are_of_the_finite_values() -> None:
    feature = build_reference(X, np.array([[1.0], [3.0], [np.nan], [np.inf]])).features[0]
    assert (feature.mean, feature.std, feature.counts[-1]) == (2.0, 1.0, 2)


def test_a_column_without_any_value_is_one_bin_and_missing() -> None:
    feature = build_reference(X, np.full((5, 1), np.nan)).features[0]
    assert (feature.edges, feature.counts, feature.mean) == ((), (0, 5), 0.0)


def test_blocks_of_independent_rows_do_not_differ() -> None:
    assert {(f.block_ks, f.block_js, f.block_psi) for f in REFERENCE.features} == {(0.0, 0.0, 0.0)}


def test_blocks_of_rows_that_move_with_time_differ() -> None:
    random = np.random.default_rng(0)
    feature = build_reference(X, (random.normal(size=5000) + np.linspace(0, 3, 5000))[:, None]).features[0]
    assert min(feature.block_ks, feature.block_js, feature.block_psi) > 0.1


@pytest.mark.parametrize("rows", [1, 2, 49, 99, 101])
def test_few_rows_make_a_reference_too(rows: int) -> None:
    reference = build_reference(X, np.arange(float(rows))[:, None])
    assert sum(reference.features[0].counts) == reference.rows == rows


@pytest.mark.parametrize(
    ("columns", "matrix"),
    [(X, np.empty((0, 1))), (X * 2, np.zeros((3, 2))), (X, np.zeros((3, 2))), (X, np.zeros(3))],
    ids=["no rows", "a name twice", "a column too many", "no matrix"],
)
def test_rows_that_make_no_reference_are_refused(columns: list[Column], matrix: NDArray[np.float64]) -> None:
    with pytest.raises(ValidationError, match="expected"):
        build_reference(columns, matrix)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": 1, "features": [{}]}', '{"rows": 1, "features": 3}'])
def test_text_that_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="reference profile"):
        ReferenceProfile.from_json(text)
