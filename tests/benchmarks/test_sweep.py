from pathlib import Path

import lightgbm
import numpy as np
import pytest

from benchmarks.sweep import PARTS, medians, parse, time_to_the_same
from benchmarks.sweep_contestants import Course, plain_optuna
from benchmarks.sweep_data import SPACE, read_parts, spec_of, write_data
from mlops_ray.evaluation import score


def test_everything_is_measured_unless_told_otherwise() -> None:
    assert parse([]).parts == list(PARTS)
    assert parse(["--parts", "torch"]).parts == ["torch"]


def test_a_ratio_is_the_median_of_the_rounds_that_have_it() -> None:
    assert medians([{"a": 1.0, "b": None}, {"a": 3.0, "b": 2.0}, {"a": 8.0}]) == {"a": 3.0, "b": 2.0}


def test_times_are_compared_at_the_best_auc_that_both_reached() -> None:
    slow = Course(100, ((10, 0.7), (50, 0.8), (90, 0.9)))
    fast = Course(40, ((5, 0.75), (20, 0.8)))
    assert time_to_the_same(slow, fast) == pytest.approx(50 / 20)
    assert time_to_the_same(fast, slow) == pytest.approx(20 / 50)
    assert time_to_the_same(slow, Course(1, ())) is None


def test_everybody_gets_the_same_rows_with_a_signal_in_them(tmp_path: Path) -> None:
    data = write_data(tmp_path, rows=3000, seed=1)
    train, valid = read_parts(data)
    assert (train.x.shape, valid.x.shape) == ((2400, 30), (600, 30))
    booster = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(train.x, train.y), 60)
    assert score("auc", valid.y, np.asarray(booster.predict(valid.x))) > 0.65


def test_plain_optuna_searches_the_same_space(tmp_path: Path) -> None:
    train, valid = read_parts(write_data(tmp_path, rows=1000, seed=1))
    spec = spec_of("lightgbm", cpus=1, trials=2, max_iterations=5, space=SPACE)
    course = plain_optuna(spec, train, valid, threads=1)
    assert 0.5 < course.best[-1][1] < 1
