"""The reference of a version: of the training rows, by the hour where they have times, and what the model relies on."""

import lightgbm
import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.model import InputColumn, Signature, TrainedModel
from mlops_ray.train.reference import importance_of, reference_of
from mlops_ray.train.training_data import Part, TrainingData

DAY_S = 86_400.0
SIGNATURE = Signature((InputColumn("hourly", "float", False), InputColumn("other", "float", False)), "binary", "uid")


def data(*, timed: bool) -> TrainingData:
    """Rows of ten days; the first column follows the hour."""
    random = np.random.default_rng(0)
    times_s = np.sort(random.uniform(0, 10 * DAY_S, 12_000))
    rows = random.normal(size=(12_000, 2))
    rows[:, 0] += 2 * np.sin(2 * np.pi * times_s / DAY_S)
    held, rest = Part(rows[::2], np.zeros(6000)), Part(rows[1::2], np.zeros(6000))
    return TrainingData(
        signature=SIGNATURE,
        train=rest,
        valid=rest,
        holdout=held,
        holdout_rows=pa.table({"hourly": held.x[:, 0], "other": held.x[:, 1]}),
        probe_rows=pa.table({}),
        in_time=rest.x,
        unlabelled=0,
        in_time_s=times_s[1::2] if timed else None,
        holdout_s=times_s[::2] if timed else None,
    )


def test_with_times_features_and_answers_have_hours() -> None:
    training = data(timed=True)
    answers = training.holdout.x[:, 0]
    reference = reference_of(training, answers, shares={"hourly": 0.9, "other": 0.1}, window_s=3600.0)
    assert reference.season is not None
    assert [bool(f.seasonal) for f in reference.features] == [True, False, True]
    assert [f.importance for f in reference.features] == [0.9, 0.1, None]
    assert reference.block_auc is not None


def test_without_times_there_are_none() -> None:
    training = data(timed=False)
    reference = reference_of(training, training.holdout.x[:, 0], shares={}, window_s=3600.0)
    assert reference.season is None
    assert not any(f.seasonal for f in reference.features)


def test_what_a_lightgbm_model_relies_on_adds_up_and_other_models_say_nothing() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(500, 2))
    booster = lightgbm.train(
        {"objective": "binary", "verbosity": -1, "num_threads": 1}, lightgbm.Dataset(x, x[:, 1] > 0), 5
    )
    shares = importance_of(TrainedModel.lightgbm(booster), SIGNATURE)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["other"] > 0.9
    assert importance_of(TrainedModel("python", {}), SIGNATURE) == {}
