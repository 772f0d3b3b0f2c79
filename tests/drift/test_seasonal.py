"""Windows are held against the hours that they cover, where the reference has a season."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_ray.drift import Column, ReferenceProfile, Season, build_reference, fold, judge, season_of
from mlops_ray.drift.blocks import time_blocks
from mlops_ray.drift.seasonal import expected_counts, mixture
from mlops_ray.errors import ValidationError
from mlops_ray.spec import Thresholds

DAY_S = 86_400.0
COLUMNS = [Column("daily", "numeric"), Column("flat", "numeric"), Column("plan", "categorical", ("a", "b"))]


def rows_at(random: np.random.Generator, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of COLUMNS: the first and the last follow the hour."""
    wave = np.sin(2 * np.pi * times_s / DAY_S)
    plan = random.uniform(size=len(times_s)) < 0.5 + 0.4 * wave
    return np.column_stack([random.normal(size=len(times_s)) + wave, random.normal(size=len(times_s)), plan])


@pytest.fixture(scope="module")
def reference() -> ReferenceProfile:
    """Twenty days of rows."""
    random = np.random.default_rng(0)
    times_s = np.sort(random.uniform(0, 20 * DAY_S, 40_000))
    return build_reference(COLUMNS, rows_at(random, times_s), times_s=times_s, window_s=3600.0)


def test_hours_are_kept_where_they_differ(reference: ReferenceProfile) -> None:
    assert reference.season == Season(DAY_S, 24)
    assert [len(feature.seasonal) for feature in reference.features] == [24, 0, 24]
    for feature in reference.features[::2]:
        assert np.array(feature.seasonal).sum(axis=0).tolist() == list(feature.counts)


def test_what_the_hour_explains_is_no_distance_of_blocks(reference: ReferenceProfile) -> None:
    assert {(f.block_ks, f.block_shift) for f in reference.features} == {(0.0, 0.0)}


def test_an_hour_like_the_same_hour_is_no_drift_and_another_one_is(reference: ReferenceProfile) -> None:
    random = np.random.default_rng(1)
    for hour in range(24):
        times_s = 30 * DAY_S + 3600 * (hour + random.uniform(size=2000))
        window = fold(reference, rows_at(random, times_s), times_s)
        assert judge(reference, window, Thresholds(), min_rows=100).drifted == ()
    noon = fold(reference, rows_at(random, np.full(2000, 6 * 3600.0)), np.full(2000, 18 * 3600.0))
    assert judge(reference, noon, Thresholds(), min_rows=100).drifted == ("daily", "plan")


def test_a_window_whose_times_are_not_known_is_held_against_all_hours(reference: ReferenceProfile) -> None:
    random = np.random.default_rng(1)
    window = fold(reference, rows_at(random, np.full(2000, 6 * 3600.0)))
    assert judge(reference, window, Thresholds(), min_rows=100).drifted == ("daily", "plan")


def test_a_reference_with_a_season_survives_json(reference: ReferenceProfile) -> None:
    assert ReferenceProfile.from_json(reference.to_json()) == reference


def test_a_reference_written_before_there_were_seasons_is_read(reference: ReferenceProfile) -> None:
    known = ("name", "kind", "edges", "categories", "counts", "mean", "std", "block_ks", "block_js", "block_psi")
    content = json.loads(reference.to_json())
    features = [{name: feature[name] for name in known} for feature in content["features"]]
    old = ReferenceProfile.from_json(json.dumps({"rows": content["rows"], "features": features}))
    random = np.random.default_rng(1)
    window = fold(old, rows_at(random, random.uniform(0, DAY_S, 3000)), np.zeros(3000))
    assert judge(old, window, Thresholds(), min_rows=100).drifted == ()
    assert window.slots.tolist() == []


@pytest.mark.parametrize(
    ("days", "rows", "expected"),
    [(2, 50_000, None), (4, 20_000, 24), (4, 2_000, None), (30, 100_000, 168), (30, 20_000, 24)],
)
def test_a_season_needs_periods_and_rows(days: int, rows: int, expected: int | None) -> None:
    times_s = np.random.default_rng(0).uniform(0, days * DAY_S, rows)
    season = season_of(times_s, columns=3)
    assert (season.slots if season is not None else None) == expected


def test_a_reference_of_very_many_columns_has_no_season() -> None:
    times_s = np.random.default_rng(0).uniform(0, 30 * DAY_S, 100_000)
    assert season_of(times_s, columns=1000) is None


def test_a_mixture_has_the_shares_of_its_slots() -> None:
    seasonal = np.array([[900, 100], [100, 900], [3, 3]])
    overall = seasonal.sum(axis=0)
    for slots in ([7, 0, 0], [0, 5, 0], [1, 1, 0], [0, 0, 4], [2, 1, 1]):
        weights = np.array(slots) / sum(slots)
        shares = [np.array([0.9, 0.1]), np.array([0.1, 0.9]), overall / overall.sum()]
        mixed = mixture(seasonal, overall, np.array(slots))
        expected = sum(weight * share for weight, share in zip(weights, shares, strict=True))
        assert mixed / mixed.sum() == pytest.approx(expected, abs=0.002)
        assert mixed.sum() <= overall.sum()


def test_a_feature_without_a_season_is_itself_at_every_hour(reference: ReferenceProfile) -> None:
    flat = reference.features[1]
    assert expected_counts(flat, np.ones(24, dtype=np.int64)).tolist() == list(flat.counts)


def test_blocks_are_as_long_as_windows_and_of_equal_rows() -> None:
    times_s = np.linspace(0, 100 * 3600.0, 20_000)
    blocks = time_blocks(20_000, 10, times_s, 3600.0)
    assert [block.stop - block.start for block in blocks[:10]] == [2000] * 10
    assert {block.stop - block.start for block in blocks[10:]} <= {199, 200, 201}
    assert len(blocks) == 58


def test_times_that_do_not_fit_the_rows_are_refused() -> None:
    with pytest.raises(ValidationError, match="3 times"):
        build_reference(COLUMNS, np.zeros((3, 3)), times_s=np.zeros(2))
