"""Counting into cells: every value has one, and atoms have their own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from mlops_ray.drift.cells import MAX_EDGES, as_matrix, categorical_counts, edges_of, numeric_counts, sorted_columns
from mlops_ray.errors import ValidationError

FINITE = arrays.arrays(np.float64, st.integers(1, 90), elements=st.integers(-400, 400).map(lambda x: x / 4))


@given(FINITE)
def test_edges_ascend_and_are_never_too_many(values: NDArray[np.float64]) -> None:
    edges = edges_of(np.sort(values))
    assert 1 <= len(edges) <= MAX_EDGES
    assert (np.diff(edges) > 0).all()


@given(FINITE, arrays.arrays(np.float64, st.integers(0, 25)))
def test_counts_equal_a_count_value_by_value(values: NDArray[np.float64], current: NDArray[np.float64]) -> None:
    edges = edges_of(np.sort(values))
    expected = np.zeros(len(edges) + 2, dtype=int)
    for value in current:
        expected[sum(edge < value for edge in edges) if np.isfinite(value) else -1] += 1
    assert numeric_counts(sorted_columns(current[:, None])[0], edges).tolist() == expected.tolist()


def test_few_distinct_values_get_a_bin_each_and_strangers_none_of_theirs() -> None:
    edges = edges_of(np.array([0.0, 0.0, 1.0, 3.0]))
    counts = numeric_counts(np.array([-1.0, 0.0, 0.5, 1.0, 3.0, 3.0, 9.0]), edges)
    assert counts.tolist() == [1, 1, 2, 2, 1, 0]  # .5 lies in (0, 1], with the 1


def test_a_frequent_value_among_many_gets_a_bin_of_its_own() -> None:
    values = np.sort(np.concatenate([np.zeros(500), np.random.default_rng(0).normal(size=1000)]))
    edges = edges_of(values)
    counts = numeric_counts(values, edges)
    assert counts[edges.index(0.0)] == 500


def test_bins_of_many_values_hold_equal_shares() -> None:
    values = np.sort(np.random.default_rng(0).normal(size=6400))
    assert set(numeric_counts(values, edges_of(values))[:-1].tolist()) == {100}


def test_no_finite_value_makes_one_bin() -> None:
    assert edges_of(np.empty(0)) == ()


@given(
    arrays.arrays(np.float64, st.integers(0, 30), elements=st.sampled_from([0.0, 1.0, 2.0, -1.0, 0.5, 99.0, np.nan]))
)
def test_every_code_is_known_unseen_or_missing(codes: NDArray[np.float64]) -> None:
    counts = categorical_counts(codes, 2)
    known = [int((codes == 0).sum()), int((codes == 1).sum())]
    missing = int(np.isnan(codes).sum())
    assert counts.tolist() == [*known, len(codes) - sum(known) - missing, missing]


def test_a_matrix_of_another_width_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"3 columns, found the shape \(2, 4\)"):
        as_matrix(np.zeros((2, 4)), 3)
