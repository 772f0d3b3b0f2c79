"""Shifts and earth mover's distances from bins: near the exact ones, calm without drift, whatever the tails."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mlops_ray.drift import Column, build_reference, fold
from mlops_ray.drift.effects import (
    bin_means,
    expected_mean_z,
    noise_shift,
    shift_and_deviation,
    shift_p_value,
    wasserstein,
)

X = [Column("x", "numeric")]
FAMILIES = [stats.norm(), stats.expon(), stats.lognorm(1.0), stats.t(3), stats.randint(0, 5), stats.bernoulli(0.1)]
NAMES = ["normal", "exponential", "lognormal", "t3", "whole", "flag"]


@pytest.mark.parametrize("moved", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_the_earth_movers_distance_is_near_the_exact_one(family: Any, moved: float) -> None:
    rows = [np.asarray(family.rvs(20_000, random_state=seed), dtype=float) for seed in (1, 2)]
    rows[1] = rows[1] + moved * rows[0].std()
    reference = build_reference(X, rows[0][:, None])
    feature, profile = reference.features[0], fold(reference, rows[1][:, None])
    means = bin_means(feature, profile.counts[0], profile.cell_sums[0])
    found = wasserstein(feature, np.array(feature.counts), profile.counts[0], means)
    exact = stats.wasserstein_distance(*rows) / rows[0].std()
    assert found == pytest.approx(exact, abs=0.01)


def test_without_sums_the_bins_of_the_reference_stand_for_both_sides() -> None:
    random = np.random.default_rng(0)
    reference = build_reference(X, random.normal(size=(20_000, 1)))
    feature, window = reference.features[0], random.normal(0.5, 1, size=(5000, 1))
    counts = fold(reference, window).counts[0]
    assert bin_means(feature, counts, np.zeros(len(counts))) is None
    assert wasserstein(feature, np.array(feature.counts), counts) == pytest.approx(0.5, abs=0.05)
    old = replace(feature, bin_means=())
    assert wasserstein(old, np.array(feature.counts), counts) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("moved", [-0.5, -0.1, 0.1, 0.25, 0.5])
def test_the_shift_of_a_normal_column_is_in_standard_deviations(moved: float) -> None:
    random = np.random.default_rng(3)
    reference = build_reference(X, 7 * random.normal(size=(50_000, 1)) + 100)
    counts = fold(reference, 7 * random.normal(moved, 1, size=(50_000, 1)) + 100).counts[0]
    assert shift_and_deviation(np.array(reference.features[0].counts), counts)[0] == pytest.approx(moved, abs=0.03)


def test_one_wild_value_does_not_move_the_shift() -> None:
    random = np.random.default_rng(3)
    reference = build_reference(X, random.normal(size=(5000, 1)))
    rows = random.normal(size=(500, 1))
    rows[0] = 1e12
    moved, _ = shift_and_deviation(np.array(reference.features[0].counts), fold(reference, rows).counts[0])
    assert abs(moved) < 0.15


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_shifts_are_as_rare_without_drift_as_their_noise_says(family: Any) -> None:
    random, level, runs = np.random.default_rng(1), 0.02, 800
    reference = build_reference(X, np.asarray(family.rvs(5000, random_state=random), dtype=float)[:, None])
    counts = np.array(reference.features[0].counts)
    shares = counts / counts.sum()
    above = below = 0
    for _ in range(runs):
        a, b = random.multinomial(5000, shares), random.multinomial(400, shares)
        moved, deviation = shift_and_deviation(a, b)
        above += abs(moved) > noise_shift(deviation, level)
        below += shift_p_value(moved, deviation) < level
    assert above == below
    assert above / runs <= level + 3.5 * np.sqrt(level * (1 - level) / runs)


def test_nothing_on_one_side_is_no_shift() -> None:
    counts, nothing = np.array([5, 5, 0]), np.zeros(3, dtype=np.int64)
    moved, deviation = shift_and_deviation(counts, nothing)
    assert (moved, shift_p_value(moved, deviation), noise_shift(deviation, 0.05)) == (0.0, 1.0, np.inf)


def test_the_expected_mean_is_that_of_the_part() -> None:
    reference = build_reference(X, np.arange(1000.0)[:, None])
    feature = reference.features[0]
    counts = np.array(feature.counts)
    assert expected_mean_z(feature, counts) == 0.0
    upper = counts.copy()
    upper[:32] = 0
    assert expected_mean_z(feature, upper) == pytest.approx((749.5 - 499.5) / feature.std, abs=0.05)
