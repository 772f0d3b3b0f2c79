"""Profiles merge in any order, forget what is taken out, and survive the wire."""

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from mlops_ray.drift import Profile, build_reference, empty, fold, merge, subtract
from mlops_ray.errors import ValidationError
from tests.drift.strategies import COLUMNS, REFERENCE, draw, matrices, profiles


@given(profiles(), profiles(), profiles())
def test_merging_is_associative_and_commutative(a: Profile, b: Profile, c: Profile) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, b) == merge(b, a)


@given(profiles(), profiles())
def test_subtracting_undoes_merging_and_nothing_is_neutral(a: Profile, b: Profile) -> None:
    assert subtract(merge(a, b), b) == a
    assert merge(a, empty(REFERENCE)) == a


@given(matrices(), matrices())
def test_folding_rows_apart_and_merging_equals_folding_them_together(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> None:
    assert merge(fold(REFERENCE, a), fold(REFERENCE, b)) == fold(REFERENCE, np.concatenate([a, b]))


@given(matrices())
def test_every_row_is_in_one_cell_of_each_feature(matrix: NDArray[np.float64]) -> None:
    profile = fold(REFERENCE, matrix)
    assert {int(counts.sum()) for counts in profile.counts} == {profile.rows} == {len(matrix)}


@given(profiles())
def test_a_profile_survives_the_wire(profile: Profile) -> None:
    assert Profile.from_bytes(profile.to_bytes()) == profile


def test_a_profile_without_features_survives_the_wire() -> None:
    assert Profile.from_bytes(Profile(3, ()).to_bytes()) == Profile(3, ())


def test_many_rows_are_folded_in_chunks_to_the_same_counts() -> None:
    rows = draw(np.random.default_rng(1), 150_000)
    parts = [fold(REFERENCE, part) for part in np.array_split(rows, 7)]
    together = parts[0]
    for part in parts[1:]:
        together = merge(together, part)
    assert fold(REFERENCE, rows) == together


def test_the_training_rows_fold_to_the_reference_itself() -> None:
    rows = draw(np.random.default_rng(0), 5000)
    folded = fold(build_reference(COLUMNS, rows), rows)
    assert [tuple(counts.tolist()) for counts in folded.counts] == [feature.counts for feature in REFERENCE.features]


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b + b"x", lambda b: b"?" + b[1:], lambda b: b[:10]])
def test_damaged_bytes_are_refused(damage: object) -> None:
    data = fold(REFERENCE, draw(np.random.default_rng(0), 10)).to_bytes()
    with pytest.raises(ValidationError, match="expected"):
        Profile.from_bytes(damage(data))  # type: ignore[operator]


def test_profiles_of_different_references_do_not_merge() -> None:
    other = build_reference(COLUMNS[:1], np.zeros((5, 1)))
    with pytest.raises(ValidationError, match="one reference"):
        merge(empty(REFERENCE), empty(other))


def test_rows_that_were_never_merged_in_cannot_be_taken_out() -> None:
    with pytest.raises(ValidationError, match="never merged in"):
        subtract(empty(REFERENCE), fold(REFERENCE, draw(np.random.default_rng(0), 1)))


def test_a_matrix_of_another_width_is_refused() -> None:
    with pytest.raises(ValidationError, match="8 columns"):
        fold(REFERENCE, np.zeros((3, 2)))
