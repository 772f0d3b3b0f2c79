"""Profiles merge in any order, forget what is taken out, and survive the wire."""

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from mlops_ray.drift import (
    Profile,
    ReferenceProfile,
    Season,
    build_reference,
    empty,
    fold,
    merge,
    subtract,
)
from mlops_ray.errors import ValidationError
from tests.drift.strategies import COLUMNS, REFERENCE, draw, matrices, profiles

TINY = np.finfo(np.float64).tiny


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
    assert_same(merge(fold(REFERENCE, a), fold(REFERENCE, b)), fold(REFERENCE, np.concatenate([a, b])))


def assert_same(a: Profile, b: Profile) -> None:
    """The same counts, and the same sums but for their grid of 2^-16."""
    assert a.rows == b.rows
    assert a.cells.tolist() == b.cells.tolist()
    assert a.ranges.tolist() == b.ranges.tolist()
    np.testing.assert_allclose(a.moments, b.moments, rtol=1e-9, atol=1e-3)
    np.testing.assert_allclose(a.sums, b.sums, rtol=1e-9, atol=1e-3)


@given(matrices())
def test_every_row_is_in_one_cell_of_each_feature(matrix: NDArray[np.float64]) -> None:
    profile = fold(REFERENCE, matrix)
    assert {int(counts.sum()) for counts in profile.counts} == {profile.rows} == {len(matrix)}


@given(profiles())
def test_a_profile_survives_the_wire(profile: Profile) -> None:
    assert Profile.from_bytes(profile.to_bytes()) == profile


def test_a_profile_without_features_survives_the_wire() -> None:
    nothing = empty(ReferenceProfile(3, ()))
    assert Profile.from_bytes(nothing.to_bytes()) == nothing
    assert nothing.counts == ()


def test_the_bytes_of_versions_before_are_read_as_counts() -> None:
    cells = np.array([3, 0, 2, 1, 4], dtype="<i8")
    before = b"MRP1" + (5).to_bytes(8, "little") + (2).to_bytes(4, "little")
    before += np.array([3, 2], dtype="<u4").tobytes() + cells.tobytes()
    profile = Profile.from_bytes(before)
    assert (profile.rows, [counts.tolist() for counts in profile.counts]) == (5, [[3, 0, 2], [1, 4]])
    assert not profile.moments.any()
    with pytest.raises(ValidationError, match="expected"):
        Profile.from_bytes(before[:-3])


def test_a_profile_of_many_rows_takes_few_bytes() -> None:
    folded = fold(REFERENCE, draw(np.random.default_rng(1), 10_000))
    assert len(folded.to_bytes()) < 11 * len(folded.cells) + 100 * len(REFERENCE.features)


@given(matrices())
def test_moments_and_ranges_are_those_of_the_values(matrix: NDArray[np.float64]) -> None:
    profile = fold(REFERENCE, matrix)
    for place, feature in enumerate(REFERENCE.features):
        if feature.kind == "categorical":
            assert not profile.moments[place].any()
            continue
        column = matrix[:, place]
        finite = column[np.isfinite(column)]
        z = np.clip((finite - feature.mean) / feature.std, -4096, 4096)
        zero = (finite > -TINY) & (finite <= TINY)
        logs = np.log(np.abs(finite[~zero]))
        places = np.searchsorted(feature.edges, finite)
        in_cells = np.bincount(places, weights=z, minlength=len(feature.counts))
        np.testing.assert_allclose(profile.cell_sums[place], in_cells, rtol=1e-9, atol=1e-4)
        sums = len(finite), z.sum(), (z**2).sum(), len(logs), logs.sum(), (logs**2).sum()
        np.testing.assert_allclose(profile.moments[place], sums, rtol=1e-9, atol=1e-4)
        assert feature.low is not None
        assert feature.high is not None
        ranges = zero.sum(), (finite < feature.low).sum(), (finite > feature.high).sum()
        assert profile.ranges[place].tolist() == [*ranges, np.isinf(column).sum()]


def test_times_are_counted_by_slot_and_add_up() -> None:
    reference = ReferenceProfile(REFERENCE.rows, REFERENCE.features, Season(86400.0, 24))
    rows = draw(np.random.default_rng(1), 3)
    a, b = fold(reference, rows, np.array([0.0, 3600.0, 90000.0])), fold(reference, rows)
    assert merge(a, b).slots.tolist() == [1, 2] + [0] * 22


def test_bytes_without_slots_merge_with_those_that_have_some() -> None:
    reference = ReferenceProfile(REFERENCE.rows, REFERENCE.features, Season(86400.0, 24))
    rows = draw(np.random.default_rng(1), 3)
    assert merge(fold(REFERENCE, rows), fold(reference, rows, np.zeros(3))).slots.sum() == 3


def test_many_rows_are_folded_in_chunks_to_the_same_counts() -> None:
    rows = draw(np.random.default_rng(1), 150_000)
    parts = [fold(REFERENCE, part) for part in np.array_split(rows, 7)]
    together = parts[0]
    for part in parts[1:]:
        together = merge(together, part)
    assert_same(fold(REFERENCE, rows), together)


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
