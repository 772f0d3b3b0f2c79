"""A sweep on Ray Tune: trials in workers, their progress in MLflow, the best one by its validation metric."""

import logging
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import tune

from mlops_ray.errors import TrainError
from mlops_ray.lake import Lake
from mlops_ray.model import TrainedModel
from mlops_ray.spec import ModelSpec, Train, Workspace
from mlops_ray.tracking import Tracking
from mlops_ray.train.admission import concurrent_trials
from mlops_ray.train.cluster_nodes import cluster_nodes
from mlops_ray.train.search import scheduler_of, search_of, trial_count, tune_space
from mlops_ray.train.sweep_log import SweepLog, TrialLog
from mlops_ray.train.trainers import find_trainer
from mlops_ray.train.training_data import Part, TrainingData
from mlops_ray.train.trial import BEST, TrialPlan, read_model, run_trial

__all__ = ["SweepResult", "run_sweep"]

# what Tune writes for itself beside what is in MLflow already, and its own table on stdout
_QUIET = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
# a failed trial's traceback goes to its run in MLflow
_LOGGERS = ("ray.tune.analysis.experiment_analysis", "ray.tune.tune", "ray.tune.execution.tune_controller")


@dataclass(frozen=True)
class SweepResult:
    """The winner of a sweep."""

    model: TrainedModel
    best: TrialLog
    trials: tuple[TrialLog, ...]


def run_sweep(
    spec: ModelSpec,
    workspace: Workspace,
    data: TrainingData,
    *,
    tracking: Tracking,
    run_id: str,
    progress: Callable[[str], None],
) -> SweepResult:
    """Run the trials of `spec.train` on `data` under the MLflow run `run_id`, on the Ray this process is connected to.

    Raises:
        TrainError: no trial came to its end; the message holds the first trial's error.
    """
    log = SweepLog(tracking, run_id, metric=spec.train.metric, planned=trial_count(spec.train), progress=progress)
    tune_config = _tune_config(spec)
    plan = _plan(spec, data)
    trainable = tune.with_resources(partial(run_trial, plan=plan), _resources(spec))
    with _quiet_tune(), _binnings_of(plan):
        tune.Tuner(
            trainable,
            param_space=tune_space(spec.train),
            tune_config=tune_config,
            run_config=_run_config(workspace, f"{spec.name}-{run_id}", log, spec.train),
        ).fit()
    trials = tuple(log.trials.values())
    best = _best(trials, spec.train)
    return SweepResult(_model_of(best), best, trials)


def warm_up_workers(train: Train) -> None:
    """Let Ray start the processes of the trials, and them import what they need, while the data is being read.

    Ray gives an actor a process that a task has left; that saves about 2 s of a small sweep. Nobody waits for it.
    """
    for _ in range(min(train.max_concurrent, train.trials)):
        ray.remote(num_cpus=0)(find_trainer).remote(train.trainer)


def _plan(spec: ModelSpec, data: TrainingData) -> TrialPlan:
    train = spec.train
    shards = tuple(ray.put(shard) for shard in _shards(data.train, train.workers))
    kept = Part(data.train.x[:0], data.train.y[:0]) if shards else data.train
    return TrialPlan(
        trainer=train.trainer,
        task=train.task,
        metric=train.metric,
        maximize=train.maximize,
        seed=train.seed,
        max_iterations=train.max_iterations,
        threads=max(1, int(train.resources.cpus)),
        device="cuda" if train.resources.gpus > 0 else "cpu",
        signature=data.signature,
        data=ray.put((kept, data.valid)),
        data_id=uuid.uuid4().hex,
        shards=shards,
        resources={"CPU": train.resources.cpus, "GPU": train.resources.gpus} if shards else None,
    )


def _shards(part: Part, workers: int) -> Iterator[Part]:
    """Parts of equal size, for several workers; every so-manieth row, so that they are alike where rows are sorted."""
    if workers > 1:
        yield from (Part(part.x[rank::workers], part.y[rank::workers]) for rank in range(workers))


def _resources(spec: ModelSpec) -> dict[str, float]:
    if spec.train.workers > 1:
        return {"memory": 1}  # a byte for the process that waits for the workers: Tune does not take nothing
    return {"cpu": spec.train.resources.cpus, "gpu": spec.train.resources.gpus}


def _tune_config(spec: ModelSpec) -> tune.TuneConfig:
    return tune.TuneConfig(
        metric=BEST,
        mode="max" if spec.train.maximize else "min",
        num_samples=trial_count(spec.train),
        max_concurrent_trials=_at_a_time(spec.train),
        time_budget_s=spec.train.time_budget_s,
        search_alg=search_of(spec.train),
        scheduler=scheduler_of(spec.train),
        # a fresh actor costs 2 s of imports, a small trial 0.1 s
        reuse_actors=True,
    )


def _at_a_time(train: Train) -> int:
    room = concurrent_trials(train, cluster_nodes())
    # a population takes turns where there is no room for all of it
    return trial_count(train) if train.scheduler == "pbt" else room


def _run_config(workspace: Workspace, name: str, log: SweepLog, train: Train) -> tune.RunConfig:
    lake = Lake(workspace.lake)
    where: dict[str, Any] = {"storage_path": str(Path(workspace.home) / "tune")}
    if not workspace.lake.startswith(("/", "file:")):
        # workers on other nodes see the lake, but not this machine's folders
        where = {"storage_path": f"{lake.root}/tune", "storage_filesystem": lake.filesystem}
    return tune.RunConfig(name=name, verbose=0, callbacks=[log], checkpoint_config=_checkpoints(train), **where)


def _checkpoints(train: Train) -> tune.CheckpointConfig:
    """Two of a trial are kept; all where others may go on from an older one."""
    return tune.CheckpointConfig(num_to_keep=None if train.scheduler == "pbt" else 2)


def _best(trials: tuple[TrialLog, ...], train: Train) -> TrialLog:
    finished = [(t.value, t) for t in trials if t.checkpoint is not None and t.value is not None]
    if not finished:
        errors = [t.error for t in trials if t.error]
        within = f" within train.time_budget_s: {train.time_budget_s:g}" if train.time_budget_s else ""
        raise TrainError(
            f"none of {len(trials)} trials came to its end{within}; the first said: {(errors or ['nothing'])[0]}"
        )
    sign = 1 if train.maximize else -1
    return max(finished, key=lambda pair: sign * pair[0])[1]


def _model_of(trial: TrialLog) -> TrainedModel:
    if trial.checkpoint is None:
        raise TrainError(f"trial {trial.trial_id} has no model")
    with tempfile.TemporaryDirectory(prefix="mlops-ray-") as folder:
        return read_model(Path(trial.checkpoint.to_directory(folder)))


@contextmanager
def _binnings_of(plan: TrialPlan) -> Iterator[None]:
    """LightGBM's bins of the sweep are removed from this node at its end; other nodes do so in their next sweep."""
    try:
        yield
    finally:
        if plan.trainer == "lightgbm":
            # lightgbm: a driver of another trainer has no use for it
            from mlops_ray.train.binned import forget_binnings

            forget_binnings(plan.data_id)


@contextmanager
def _quiet_tune() -> Iterator[None]:
    """Tune without its own files and tables; the environment is put back afterwards."""
    before = {name: os.environ.get(name) for name in _QUIET}
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    os.environ.update({name: value for name, value in _QUIET.items() if before[name] is None})
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
