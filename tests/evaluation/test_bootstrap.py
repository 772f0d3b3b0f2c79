"""The paired bootstrap: its sign, its width, its coverage, and that its shortcuts equal the plain way."""

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_ray.errors import ValidationError
from mlops_ray.evaluation import Interval, paired_difference, score
from mlops_ray.evaluation.bootstrap import _resampled
from mlops_ray.spec import METRICS, Metric

Array = NDArray[np.float64]
ALL: list[Metric] = ["auc", "log_loss", "accuracy", "brier", "f1", "rmse", "mae", "r2"]


def rows(metric: Metric, n: int, seed: int) -> tuple[Array, Array, Array]:
    """Labels, good predictions, worse predictions."""
    random = np.random.default_rng(seed)
    if metric in METRICS["regression"]:
        y = random.normal(size=n)
        return y, y + random.normal(size=n), y + 3 * random.normal(size=n)
    y = (random.random(n) < 0.4).astype(np.float64)
    good, worse = (np.clip(weight * y + (1 - weight) * random.random(n), 0, 1) for weight in (0.4, 0.1))
    return y, good.round(2), worse.round(2)


@pytest.mark.parametrize("metric", ALL)
def test_positive_means_that_the_candidate_is_better_whatever_the_direction(metric: Metric) -> None:
    y, good, worse = rows(metric, 2000, 0)
    better = paired_difference(metric, y, good, worse, seed=1, resamples=200)
    assert 0 < better.low < better.difference < better.high
    mirrored = paired_difference(metric, y, worse, good, seed=1, resamples=200)
    assert (mirrored.difference, mirrored.low) == pytest.approx((-better.difference, -better.high))


@pytest.mark.parametrize("metric", ALL)
def test_a_weighted_metric_equals_the_metric_of_the_rows_drawn(metric: Metric) -> None:
    y, good, _ = rows(metric, 60, 2)
    random = np.random.default_rng(3)
    drawn = random.integers(60, size=(20, 60))
    weights = np.array([np.bincount(draw, minlength=60) for draw in drawn], dtype=np.float64)
    plain = [score(metric, y[draw], good[draw]) for draw in drawn]
    assert _resampled(metric, y, good)(weights) == pytest.approx(plain, rel=1e-9)


def test_equal_predictions_differ_by_nothing() -> None:
    y, good, _ = rows("auc", 500, 0)
    assert paired_difference("auc", y, good, good, seed=0) == Interval(0.0, 0.0, 0.0)


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    y, good, worse = rows("auc", 300, 0)
    first = paired_difference("auc", y, good, worse, seed=5)
    assert paired_difference("auc", y, good, worse, seed=5) == first
    assert paired_difference("auc", y, good, worse, seed=6) != first


def test_pairing_makes_the_interval_of_nearly_equal_models_narrow() -> None:
    y, good, _ = rows("auc", 2000, 0)
    nudged = np.clip(good + 0.01 * np.random.default_rng(1).normal(size=2000), 0, 1)
    interval = paired_difference("auc", y, nudged, good, seed=0)
    assert interval.high - interval.low < 0.01


def test_a_higher_level_is_wider() -> None:
    y, good, worse = rows("brier", 300, 0)
    narrow, wide = (paired_difference("brier", y, good, worse, seed=0, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        y = np.repeat([0.0, 1.0], 100)
        both = random.normal(size=(2, 200)) + y  # two models of the same quality: the true difference is 0
        interval = paired_difference("auc", y, both[0], both[1], seed=seed, resamples=300)
        covered += interval.low <= 0 <= interval.high
    assert 0.89 <= covered / 200 <= 0.99


def test_rows_too_few_of_one_class_are_refused() -> None:
    y, p = np.repeat([0.0, 1.0], [99, 1]), np.linspace(0, 1, 100)
    with pytest.raises(ValidationError, match="needs more rows of each class"):
        paired_difference("auc", y, p, p, seed=0)


def test_a_thousand_draws_of_twenty_thousand_rows_take_seconds_at_most() -> None:
    y, good, worse = rows("auc", 20_000, 0)
    started_s = time.process_time()
    paired_difference("auc", y, good, worse, seed=0)
    assert time.process_time() - started_s < 5


def test_a_rare_undefined_draw_is_left_out() -> None:
    y, p = np.repeat([0.0, 1.0], [8, 2]), np.linspace(0, 1, 10)
    interval = paired_difference("auc", y, p, 1 - p, seed=0)
    assert (interval.difference, interval.low, interval.high) == pytest.approx((1.0, 1.0, 1.0))
