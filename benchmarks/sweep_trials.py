"""What runs in the workers of the sweep benchmark; it imports no more than a trial needs, since workers wait for it."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np
from ray import tune

from benchmarks.sweep_data import SweepData, read_parts
from mlops_ray.evaluation import score
from mlops_ray.model import TrainedModel
from mlops_ray.spec import ModelSpec
from mlops_ray.train.lightgbm_trainer import train_lightgbm
from mlops_ray.train.trial_context import TrialContext

__all__ = ["EPOCH_END", "boost", "naive_trial", "start_up_only", "timed_torch"]

EPOCH_END = "epoch_end_s"


def start_up_only(context: TrialContext) -> TrainedModel:
    """A trainer that does next to nothing: what a sweep of it takes is not training."""
    few = slice(0, 200)
    return train_lightgbm(
        replace(
            context, x_train=context.x_train[few], y_train=context.y_train[few], x_valid=context.x_valid[few],
            y_valid=context.y_valid[few], max_iterations=1, data_id=None,
        )
    )  # fmt: skip


def timed_torch(context: TrialContext) -> TrainedModel:
    """The trainer `torch`; MLflow gets the second at which each epoch was at its end, its report included."""
    # 2 s to import, which the trials of LightGBM need not wait for
    from mlops_ray.train.torch_trainer import train_torch

    def checkpoint(epoch: int, metrics: Mapping[str, float], state: Any) -> None:
        context.checkpoint(epoch, metrics, state)
        context.log({EPOCH_END: time.monotonic()}, epoch)

    return train_torch(replace(context, checkpoint=checkpoint))


def naive_trial(config: Mapping[str, Any], *, data: SweepData, spec: ModelSpec) -> None:
    """Read, bin, train to the end, and score: one trial of a tutorial."""
    train, valid = read_parts(data)
    params = {**config, "verbose": -1, "seed": spec.train.seed, "num_threads": int(spec.train.resources.cpus)}
    dataset = lightgbm.Dataset(train.x, train.y)
    watched = lightgbm.Dataset(valid.x, valid.y, reference=dataset)
    booster = boost(params, dataset, watched, spec)
    value = score("auc", valid.y, np.asarray(booster.predict(valid.x), dtype=np.float64))
    tune.report({"best_so_far": value, "iteration": 1})


def boost(
    params: Mapping[str, Any], dataset: lightgbm.Dataset, watched: lightgbm.Dataset, spec: ModelSpec
) -> lightgbm.Booster:
    """One plain training with the engine's early stopping."""
    patience = min(50, max(10, spec.train.max_iterations // 5))
    return lightgbm.train(
        # the layout and the rounding that the engine uses
        {"objective": "binary", "metric": "auc", "deterministic": True, "force_row_wise": True, **params},
        dataset,
        num_boost_round=spec.train.max_iterations,
        valid_sets=[watched],
        callbacks=[lightgbm.early_stopping(patience, verbose=False)],
    )
