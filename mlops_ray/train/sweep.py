"""A sweep on Ray Tune: trials in workers, their progress in MLflow, the best one by its validation metric."""

import json
import logging
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import ray
from ray import tune

from mlops_ray.errors import InterruptedSweepError, TrainError
from mlops_ray.lake import Lake
from mlops_ray.model import TrainedModel
from mlops_ray.spec import ModelSpec, Train, Workspace
from mlops_ray.train.admission import concurrent_trials
from mlops_ray.train.cluster_nodes import cluster_nodes
from mlops_ray.train.search import scheduler_of, search_of, trial_count, tune_space
from mlops_ray.train.sweep_log import SweepLog, TrialLog
from mlops_ray.train.trainers import find_trainer
from mlops_ray.train.training_data import Part, TrainingData
from mlops_ray.train.trial import BEST, TrialPlan, read_model, run_trial

__all__ = ["SweepResult", "forget_trials", "model_of_best", "run_sweep", "run_trials", "warm_up_workers"]

# what Tune writes for itself beside what is in MLflow already, and its own table on stdout
_QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    # how often Tune saves what a resumed sweep goes on from; its own 10 s are many small trials
    "TUNE_GLOBAL_CHECKPOINT_S": "0.5",
}
_TRIES_AGAIN = 1  # of a trial that failed: its worker may have been lost
# names of Tune's files
_TUNER_STATE = "tuner.pkl"
_TRIALS_STATE = "experiment_state-"
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
    sweep: str,
    log: SweepLog,
) -> SweepResult:
    """Run those trials of `spec.train` on `data` that have not ended by `log`, on the Ray this process is connected to.

    Raises:
        TrainError: no trial came to its end; the message holds the first trial's error.
        InterruptedSweepError: a person ended it before its trials were; it can be resumed.
    """
    run_trials(spec, workspace, data, sweep=sweep, log=log)
    trials = tuple(log.trials.values())
    best = _best(trials, spec.train)
    return SweepResult(_model_of(workspace, best), best, trials)


def model_of_best(spec: ModelSpec, workspace: Workspace, log: SweepLog) -> TrainedModel:
    """The model of the best trial in `log`; TrainError when none came to its end."""
    return _model_of(workspace, _best(tuple(log.trials.values()), spec.train))


def forget_trials(workspace: Workspace, sweep: str) -> None:
    """Delete what Tune keeps of a sweep: its models and its state."""
    storage = _Storage.of(workspace)
    files = storage.filesystem or pafs.LocalFileSystem()
    if files.get_file_info(storage.path_of(sweep)).type == pafs.FileType.Directory:
        files.delete_dir(storage.path_of(sweep))


def run_trials(spec: ModelSpec, workspace: Workspace, data: TrainingData, *, sweep: str, log: SweepLog) -> None:
    """As `run_sweep`, without choosing."""
    ended = sum(trial.outcome is not None for trial in log.trials.values())
    if ended < trial_count(spec.train):
        plan = _plan(spec, data, _Storage.of(workspace), sweep)
        trainable = tune.with_resources(partial(run_trial, plan=plan), _resources(spec))
        with _quiet_tune(), _binnings_of(plan):
            _tuner(spec, workspace, trainable, sweep=sweep, log=log, ended=ended).fit()
        if log.has_open_trials and spec.train.time_budget_s is None:
            raise InterruptedSweepError(
                f"sweep {sweep} was interrupted; `mlops-ray train SPEC --resume --sweep {sweep}` goes on with it"
            )
    log.give_up_left_over()


def _tuner(
    spec: ModelSpec, workspace: Workspace, trainable: Any, *, sweep: str, log: SweepLog, ended: int
) -> tune.Tuner:
    """A new one, or that of an earlier driver as Tune saved it last."""
    storage = _Storage.of(workspace)
    space = tune_space(spec.train)
    if storage.has_state(sweep):
        return tune.Tuner.restore(
            storage.path_of(sweep), trainable, param_space=space, storage_filesystem=storage.filesystem
        )
    config = tune.RunConfig(
        name=sweep,
        verbose=0,
        callbacks=[log],
        failure_config=tune.FailureConfig(max_failures=_TRIES_AGAIN),
        checkpoint_config=_checkpoints(spec.train),
        storage_path=storage.root,
        storage_filesystem=storage.filesystem,
    )
    return tune.Tuner(
        trainable, param_space=space, tune_config=_tune_config(_rest(spec.train, ended)), run_config=config
    )


def _rest(train: Train, ended: int) -> Train:
    """What is left to do where Tune saved nothing; a grid and a population are whole or nothing."""
    if train.search == "grid" or train.scheduler == "pbt":
        return train
    return train.model_copy(update={"trials": train.trials - ended, "seed": train.seed + ended})


def warm_up_workers(train: Train) -> None:
    """Let Ray start the processes of the trials, and them import what they need, while the data is being read.

    Ray gives an actor a process that a task has left; that saves about 2 s of a small sweep. Nobody waits for it.
    """
    for _ in range(min(train.max_concurrent, train.trials)):
        ray.remote(num_cpus=0)(find_trainer).remote(train.trainer)


def _plan(spec: ModelSpec, data: TrainingData, storage: "_Storage", sweep: str) -> TrialPlan:
    train = spec.train
    shards = tuple(ray.put(shard) for shard in _shards(data.train, train.workers))
    kept = Part(data.train.x[:0], data.train.y[:0]) if shards else data.train  # no pictures either
    return TrialPlan(
        trainer=train.trainer,
        task=train.task,
        metric=train.metric,
        maximize=train.maximize,
        seed=train.seed,
        max_iterations=train.max_iterations,
        # others take over from any report
        checkpoint_every_s=0.0 if train.scheduler == "pbt" else train.checkpoint_every_s,
        threads=max(1, int(train.resources.cpus)),
        device="cuda" if train.resources.gpus > 0 else "cpu",
        signature=data.signature,
        data=ray.put((kept, data.valid)),
        data_id=uuid.uuid4().hex,
        shards=shards,
        resources={"CPU": train.resources.cpus, "GPU": train.resources.gpus} if shards else None,
        workers_folder=f"{storage.path_of(sweep)}/workers",
        filesystem=storage.filesystem,
    )


def _shards(part: Part, workers: int) -> Iterator[Part]:
    """Parts of equal size, for several workers; every so-manieth row, so that they are alike where rows are sorted."""
    if workers > 1:
        yield from (_shard(part, slice(rank, None, workers)) for rank in range(workers))


def _shard(part: Part, rows: slice) -> Part:
    places = pa.array(range(len(part.y))[rows])
    return Part(part.x[rows], part.y[rows], None if part.pictures is None else part.pictures.take(places))


def _resources(spec: ModelSpec) -> dict[str, float]:
    if spec.train.workers > 1:
        return {"memory": 1}  # a byte for the process that waits for the workers: Tune does not take nothing
    return {"cpu": spec.train.resources.cpus, "gpu": spec.train.resources.gpus}


def _tune_config(train: Train) -> tune.TuneConfig:
    return tune.TuneConfig(
        metric=BEST,
        mode="max" if train.maximize else "min",
        num_samples=trial_count(train),
        max_concurrent_trials=_at_a_time(train),
        time_budget_s=train.time_budget_s,
        search_alg=search_of(train),
        scheduler=scheduler_of(train),
        # a fresh actor costs 2 s of imports, a small trial 0.1 s
        reuse_actors=True,
    )


def _at_a_time(train: Train) -> int:
    room = concurrent_trials(train, cluster_nodes())
    # a population takes turns where there is no room for all of it
    return trial_count(train) if train.scheduler == "pbt" else room


@dataclass(frozen=True)
class _Storage:
    """Where Tune keeps checkpoints and its own state; both are pickles, so only this workspace's folders are read."""

    root: str
    filesystem: pafs.FileSystem | None  # None: this machine's

    @classmethod
    def of(cls, workspace: Workspace) -> "_Storage":
        lake = Lake(workspace.lake)
        if lake.is_local:
            return cls(str(Path(workspace.home) / "tune"), None)
        # workers on other nodes see the lake, but not this machine's folders
        return cls(f"{lake.root}/tune", lake.filesystem)

    def path_of(self, sweep: str) -> str:
        return f"{self.root}/{sweep}"

    def has_state(self, sweep: str) -> bool:
        """Whether Tune's state of a sweep can be read; what a killed driver left half written is taken away.

        Tune itself would begin from nothing where it cannot read its state.
        """
        files = self.filesystem or pafs.LocalFileSystem()
        selector = pafs.FileSelector(self.path_of(sweep), recursive=False, allow_not_found=True)
        names = {info.base_name: info.path for info in files.get_file_info(selector)}
        if _TUNER_STATE not in names:
            return False
        for name in sorted((n for n in names if n.startswith(_TRIALS_STATE)), reverse=True):
            with files.open_input_stream(names[name]) as stream:
                content = stream.read()
            with suppress(ValueError):
                # a state without trials makes Tune fail
                return bool(json.loads(content)["trial_data"])
            files.delete_file(names[name])
        return False


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


def _model_of(workspace: Workspace, trial: TrialLog) -> TrainedModel:
    if trial.checkpoint is None:
        raise TrainError(f"trial {trial.trial_id} has no model")
    checkpoint = tune.Checkpoint(trial.checkpoint, filesystem=_Storage.of(workspace).filesystem)
    with tempfile.TemporaryDirectory(prefix="mlops-ray-") as folder:
        return read_model(Path(checkpoint.to_directory(folder)))


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
