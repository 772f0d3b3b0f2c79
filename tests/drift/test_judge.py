"""Judgements: no alarm without drift, alarms for drift that matters, and none for what the reference does by itself."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_ray.drift import Column, DriftReport, build_reference, empty, fold, judge
from mlops_ray.errors import ValidationError
from mlops_ray.spec import Thresholds
from mlops_ray.verdict import Verdict
from tests.drift.strategies import COLUMNS, REFERENCE, draw

THRESHOLDS = Thresholds()
X = [Column("x", "numeric")]


def judged(rows: NDArray[np.float64], features: list[str] | None = None) -> DriftReport:
    return judge(REFERENCE, fold(REFERENCE, rows), THRESHOLDS, min_rows=100, features=features)


@pytest.mark.parametrize(("rows", "windows"), [(200, 200), (1000, 200), (5000, 40), (20_000, 20)])
def test_windows_without_drift_raise_no_alarm(rows: int, windows: int) -> None:
    random = np.random.default_rng(rows)
    alarms = sum(judged(draw(random, rows)).verdict is Verdict.FAIL for _ in range(windows))
    assert alarms <= 1  # fdr .001 over 200 windows: .2 expected


@pytest.mark.parametrize("column", ["normal", "skewed", "zero_inflated", "with_nulls"])
def test_half_a_standard_deviation_is_found_at_1000_rows(column: str) -> None:
    random = np.random.default_rng(1)
    i = [c.name for c in COLUMNS].index(column)
    for _ in range(20):
        rows = draw(random, 1000)
        rows[:, i] += 0.5 * REFERENCE.features[i].std
        assert judged(rows).drifted == (column,)


def test_a_change_in_category_frequencies_is_found() -> None:
    random = np.random.default_rng(2)
    rows = draw(random, 1000)
    rows[random.random(1000) < 0.25, 6] = 3
    assert judged(rows).drifted == ("plan",)


def test_unseen_categories_are_found() -> None:
    random = np.random.default_rng(2)
    rows = draw(random, 1000)
    rows[random.random(1000) < 0.2, 7] = 10
    assert judged(rows).drifted == ("region",)


def test_values_that_went_missing_are_found() -> None:
    random = np.random.default_rng(3)
    rows = draw(random, 1000)
    rows[random.random(1000) < 0.3, 0] = np.nan
    assert judged(rows).drifted == ("normal",)


@pytest.mark.parametrize("served", [5.0, -5.0, np.nan])
def test_a_constant_feature_that_gets_another_value_is_found(served: float) -> None:
    reference = build_reference(X, np.zeros((2000, 1)))
    report = judge(reference, fold(reference, np.full((500, 1), served)), THRESHOLDS, min_rows=100)
    assert report.drifted == ("x",)


def test_a_harmless_shift_stays_below_the_floor_however_significant() -> None:
    rows = draw(np.random.default_rng(4), 20_000)
    rows[:, 0] += 0.1
    report = judged(rows)
    assert report.features[0].p_value < 1e-4
    assert report.verdict is Verdict.PASS


def test_a_large_distance_that_is_not_significant_is_no_drift() -> None:
    reference = build_reference(X, np.random.default_rng(0).permutation(np.arange(6400.0))[:, None])
    # every second group of four bins twice as full, the others empty: JS and PSI are large, KS is not
    rows = np.arange(6400.0)
    comb = rows[(rows // 400) % 2 == 0][::20]
    feature = judge(reference, fold(reference, comb[:, None]), THRESHOLDS, min_rows=100).features[0]
    assert feature.psi > feature.psi_threshold
    assert feature.p_value > 0.1
    assert not feature.drifted


def autocorrelated(random: np.random.Generator, rows: int) -> NDArray[np.float64]:
    """Noise around a daily level that wanders about 0: stationary, and yet days (500 rows) differ a lot."""
    days, level = rows // 500, random.normal()
    levels = np.empty(days)
    for day in range(days):
        level = 0.5 * level + np.sqrt(0.75) * random.normal()
        levels[day] = level
    return (np.repeat(levels, 500) + random.normal(size=rows))[:, None]


def test_rows_that_differ_from_day_to_day_are_held_against_the_days_of_the_reference() -> None:
    random = np.random.default_rng(5)
    flagged = significant = 0
    for _ in range(40):
        reference = build_reference(X, autocorrelated(random, 10_000), blocks=20)
        for _ in range(5):
            window = fold(reference, autocorrelated(random, 500))
            feature = judge(reference, window, THRESHOLDS, min_rows=100).features[0]
            significant += feature.p_value < 1e-6
            flagged += feature.drifted
    assert significant > 120  # of 200 windows: a test that takes rows for independent flags most of them
    assert flagged < 25  # one window in 21 lies beyond all 20 days of the reference by chance, per distance


def test_a_day_of_the_reference_is_not_flagged_against_it() -> None:
    rows = autocorrelated(np.random.default_rng(6), 10_000)
    reference = build_reference(X, rows, blocks=20)
    for day in np.split(rows, 20):
        assert judge(reference, fold(reference, day), THRESHOLDS, min_rows=100).verdict is Verdict.PASS


def test_a_real_shift_is_found_in_spite_of_wandering_days() -> None:
    random = np.random.default_rng(7)
    reference = build_reference(X, autocorrelated(random, 10_000), blocks=20)
    window = fold(reference, autocorrelated(random, 500) + 6)
    assert judge(reference, window, THRESHOLDS, min_rows=100).drifted == ("x",)


def test_too_few_rows_are_inconclusive() -> None:
    report = judged(draw(np.random.default_rng(0), 99))
    assert (report.verdict, report.rows, report.features) == (Verdict.INCONCLUSIVE, 99, ())
    assert report.message == "99 of the 100 rows needed for a judgement"
    assert judge(REFERENCE, empty(REFERENCE), THRESHOLDS, min_rows=20).verdict is Verdict.INCONCLUSIVE


def test_only_the_features_asked_for_are_judged_in_that_order() -> None:
    report = judged(draw(np.random.default_rng(0), 500), features=["plan", "normal"])
    assert [feature.name for feature in report.features] == ["plan", "normal"]
    assert judged(draw(np.random.default_rng(0), 500), features=[]).verdict is Verdict.PASS


def test_a_feature_that_the_reference_does_not_have_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"found \['age'\]"):
        judged(draw(np.random.default_rng(0), 500), features=["age"])


def test_a_profile_of_another_reference_is_refused() -> None:
    other = build_reference(X, np.zeros((5, 1)))
    with pytest.raises(ValidationError, match="of its reference"):
        judge(REFERENCE, empty(other), THRESHOLDS, min_rows=100)


def test_the_message_names_what_drifted_and_by_how_much() -> None:
    rows = draw(np.random.default_rng(8), 1000)
    rows[:, 0] += 1
    assert judged(rows).message.startswith("1 of 8 features drifted over 1,000 rows: normal (KS 0.3")


def test_a_report_survives_json() -> None:
    rows = draw(np.random.default_rng(8), 1000)
    rows[:, 0] += 1
    report = judged(rows)
    assert DriftReport.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False))) == report
