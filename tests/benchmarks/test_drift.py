"""What the benchmark of drift measures with: exact distances, and counts drawn as rows would be folded."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chisquare, ks_2samp, wasserstein_distance

from benchmarks.drift import main
from benchmarks.drift_alarms import measure_alarms
from benchmarks.drift_rules import Exact
from benchmarks.drift_speed import Samples, distance_errors, measure_speed
from benchmarks.drift_world import HOUR_S, World
from mlops_ray.drift import fold

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("reference", "window"),
    [
        (RANDOM.normal(size=5000), RANDOM.normal(0.2, 1, 700)),
        (RANDOM.integers(0, 9, 5000).astype(float), RANDOM.integers(0, 8, 300).astype(float)),
    ],
    ids=["continuous", "ties"],
)
def test_the_rules_of_others_use_the_exact_distances(
    reference: NDArray[np.float64], window: NDArray[np.float64]
) -> None:
    exact, ordered = Exact.of(reference), np.sort(window)
    assert exact.ks(ordered) == pytest.approx(ks_2samp(reference, window).statistic, abs=1e-12)
    expected = wasserstein_distance(reference, window) / reference.std()
    assert exact.wasserstein(ordered) == pytest.approx(expected, abs=0.01)


def test_counts_are_drawn_as_rows_would_be_folded() -> None:
    world = World(5, seed=3)
    reference, _, _ = world.reference(30_000)
    random = np.random.default_rng(1)
    times_s = 5 * HOUR_S + HOUR_S * random.uniform(size=40_000)
    folded = fold(reference, world.rows(random, times_s), times_s)
    drawn = world.drawn(random, reference, 4_000_000, 5 * HOUR_S, HOUR_S)
    assert drawn.slots.argmax() == folded.slots.argmax() == 5
    for rows, chances in zip(folded.counts, drawn.counts, strict=True):
        used = chances > 1000
        expected = chances[used] / chances[used].sum() * rows[used].sum()
        assert chisquare(rows[used], expected).pvalue > 1e-4


def test_a_few_hours_without_drift_raise_no_alarm_and_naive_tests_do() -> None:
    found = {one.system: one for one in measure_alarms(months=1, sliding_months=1, seed=2, hours=3)}
    assert found["engine, hourly, rows"].alarms == 0
    assert found["KS p < .05"].alarms > 0
    assert {one.windows for one in found.values()} == {3, 24}


def test_distances_and_ratios_come_out_of_a_small_table() -> None:
    errors = distance_errors(Samples.of(5000, 10, seed=2))
    assert max(errors.values()) < 0.02
    measured = measure_speed(rows=2000, columns=10, rounds=1, evidently=False)
    assert set(measured.ratios) == {"scipy_over_engine_time", "fold_million_values_per_s"}


def test_the_last_line_is_one_json_object_with_its_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--rows", "2000", "--columns", "5", "--rounds", "1", "--without-evidently", "--runs", "5"]
    main(["--json", "--parts", "speed", "accuracy", "detection", *small])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    expected = {"scipy_over_engine_time", "fold_million_values_per_s", "max_distance_error", "detect_025sd_share"}
    assert set(result["ratios"]) == expected
