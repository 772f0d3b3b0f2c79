"""A trial of several workers: each has its part of the rows, and together they train one model (Ray Train in Tune)."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.tune.integration.ray_train import TuneReportCallback

from mlops_ray.model import TrainedModel
from mlops_ray.train.reporter import BEST, ITERATION, Reporter
from mlops_ray.train.trainers import find_trainer
from mlops_ray.train.trial import TrialPlan, context_of, reporter_of

__all__ = ["train_with_workers"]


def train_with_workers(config: Mapping[str, Any], plan: TrialPlan, reporter: Reporter) -> TrainedModel:
    """Train in `len(plan.shards)` processes, and wait for them; what the first one reports is what Tune sees.

    `reporter` is left where the workers came to, for the last report.
    """
    with tempfile.TemporaryDirectory(prefix="mlops-ray-workers-") as folder:
        trainer = _trainer_class(plan.trainer)(
            _work,
            train_loop_config={"config": dict(config), "plan": plan},
            scaling_config=ScalingConfig(
                num_workers=len(plan.shards),
                use_gpu=plan.device == "cuda",
                resources_per_worker=dict(plan.resources or {}),
            ),
            # nothing is written there: the model comes back as the first worker's answer
            run_config=RunConfig(
                storage_path=folder,
                callbacks=[TuneReportCallback()],
                failure_config=FailureConfig(max_failures=0),
            ),
        )
        result = trainer.fit()
    metrics = result.metrics or {}
    reporter.iteration, reporter.best = int(metrics.get(ITERATION, 0)), metrics.get(BEST)
    model: TrainedModel = result.return_value
    return model


def _work(task: Mapping[str, Any]) -> TrainedModel | None:
    """One worker."""
    plan: TrialPlan = task["plan"]
    rank = ray.train.get_context().get_world_rank()
    train = ray.get(plan.shards[rank])
    _, valid = ray.get(plan.data)
    context = context_of(task["config"], plan, train, valid, reporter_of(plan, _send), network=_network(plan.trainer))
    model = find_trainer(plan.trainer)(context)
    return model if rank == 0 else None


def _send(metrics: dict[str, Any], _: Path | None) -> None:
    # every worker has to: Ray Train waits for all of them
    ray.train.report(metrics)


def _network(trainer: str) -> dict[str, Any]:
    if trainer != "lightgbm":
        return {}
    # lightgbm: not for a worker of another trainer
    from ray.train.lightgbm import get_network_params

    return dict(get_network_params())


def _trainer_class(trainer: str) -> Any:
    # the one that sets up the network of that library, which may be the only one installed
    if trainer == "lightgbm":
        from ray.train.lightgbm import LightGBMTrainer

        return LightGBMTrainer
    from ray.train.torch import TorchTrainer

    return TorchTrainer
