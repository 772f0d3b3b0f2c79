"""A trial of several workers: each has its part of the rows, and together they train one model (Ray Train in Tune)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray import tune
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.tune.integration.ray_train import TuneReportCallback

from mlops_ray.model import TrainedModel
from mlops_ray.train.reporter import Reporter
from mlops_ray.train.trainers import find_trainer
from mlops_ray.train.trial import TrialPlan, context_of, reporter_of, taken_over, write_progress

__all__ = ["train_with_workers"]


def train_with_workers(config: Mapping[str, Any], plan: TrialPlan, reporter: Reporter) -> TrainedModel:
    """Train in `len(plan.shards)` processes, and wait for them; what the first one reports is what Tune sees.

    `reporter` is left where the workers came to, for the last report. A trial that was tried before goes on from its
    last checkpoint, which Ray Train finds by the trial's name.
    """
    trainer = _trainer_class(plan.trainer)(
        _work,
        train_loop_config={"config": dict(config), "plan": plan},
        scaling_config=ScalingConfig(
            num_workers=len(plan.shards),
            use_gpu=plan.device == "cuda",
            resources_per_worker=dict(plan.resources or {}),
        ),
        # only checkpoints are written there: the model comes back as the first worker's answer
        run_config=RunConfig(
            name=tune.get_context().get_trial_id(),
            storage_path=plan.workers_folder,
            storage_filesystem=plan.filesystem,
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            callbacks=[TuneReportCallback()],
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    model: TrainedModel
    model, reporter.iteration, reporter.best, reporter.resumed_from = trainer.fit().return_value
    return model


def _work(task: Mapping[str, Any]) -> tuple[TrainedModel, int, float | None, int | None] | None:
    """One worker; the first one tells what came out."""
    plan: TrialPlan = task["plan"]
    rank = ray.train.get_context().get_world_rank()
    train = ray.get(plan.shards[rank])
    _, valid = ray.get(plan.data)
    reporter = reporter_of(plan, _send)
    here = {"network": _network(plan.trainer), "resume": taken_over(reporter, ray.train.get_checkpoint())}
    model = find_trainer(plan.trainer)(context_of(task["config"], plan, train, valid, reporter, **here))
    return (model, reporter.iteration, reporter.best, reporter.resumed_from) if rank == 0 else None


def _send(metrics: dict[str, Any], folder: Path | None) -> None:
    checkpoint = None
    if folder is not None and ray.train.get_context().get_world_rank() == 0:
        write_progress(folder, metrics)
        checkpoint = ray.train.Checkpoint.from_directory(folder)
    # every worker has to: Ray Train waits for all of them
    ray.train.report(metrics, checkpoint=checkpoint)


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
