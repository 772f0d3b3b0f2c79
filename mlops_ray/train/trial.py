"""One trial, as Ray Tune runs it in a worker: train, save, load again, score what was loaded."""

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import ray
from ray import tune

from mlops_ray.evaluation import score
from mlops_ray.model import Predictor, Signature, TrainedModel
from mlops_ray.model.predictor import load_predictor
from mlops_ray.spec import Metric, Task
from mlops_ray.train.reporter import BEST, FINISHED, ITERATION, Reporter
from mlops_ray.train.trainers import find_trainer
from mlops_ray.train.training_data import Part, predictions_of
from mlops_ray.train.trial_context import TrialContext

__all__ = [
    "BEST",
    "FINISHED",
    "ITERATION",
    "TrialPlan",
    "context_of",
    "load_model",
    "read_model",
    "reporter_of",
    "run_trial",
    "taken_over",
    "write_progress",
]

_FLAVOR = "flavor.json"
_STATE = "state.bin"
_PROGRESS = "progress.json"
_TRIED_ROWS = 1000  # that a loaded model has to predict where its metric is known


@dataclass(frozen=True)
class TrialPlan:
    """What all trials of a sweep have in common."""

    trainer: str
    task: Task
    metric: Metric
    maximize: bool
    seed: int
    max_iterations: int
    checkpoint_every_s: float
    threads: int
    device: str
    signature: Signature
    data: ray.ObjectRef  # of (train, valid), two `Part`s, in the object store once; train is empty with shards
    data_id: str  # a name no other sweep of any cluster has: nodes share files by it
    shards: tuple[ray.ObjectRef, ...] = ()  # the training rows, a `Part` for each of several workers
    resources: Mapping[str, float] | None = None  # of each of several workers, in Ray's names
    workers_folder: str = ""  # where several workers keep checkpoints, in `filesystem`
    filesystem: pafs.FileSystem | None = None  # None: this machine's


def run_trial(config: Mapping[str, Any], *, plan: TrialPlan) -> None:
    """Train with the hyperparameters in `config`.

    Reports the validation metric as it goes, and at last that of the model as it will be loaded, with its files as
    the checkpoint: a model that cannot be loaded is a failed trial, not a failed deployment.
    """
    reporter = reporter_of(plan, _send)
    if plan.shards:
        # Ray Train: 1 s to import, and most trials are one process
        from mlops_ray.train.workers import train_with_workers

        model = train_with_workers(config, plan, reporter)
        _, valid = ray.get(plan.data)
    else:
        train, valid = ray.get(plan.data)
        state = taken_over(reporter, tune.get_checkpoint())
        model = find_trainer(plan.trainer)(context_of(config, plan, train, valid, reporter, resume=state))
    with tempfile.TemporaryDirectory(prefix="mlops-ray-trial-") as name:
        folder = Path(name)
        predictor = load_model(model, folder, signature=plan.signature, threads=plan.threads)
        value = reporter.achieved
        if value is None:
            value = score(plan.metric, valid.y, predictions_of(predictor.predict, valid, plan.signature))
        else:
            predictor.predict(next(valid.chunks(plan.signature))[:_TRIED_ROWS])
        (folder / _FLAVOR).write_text(json.dumps(model.flavor), encoding="utf-8")
        reporter.report_last(value, folder)


def reporter_of(plan: TrialPlan, send: Any) -> Reporter:
    """A reporter at its start."""
    return Reporter(plan.metric, plan.maximize, plan.max_iterations, send)


def load_model(model: TrainedModel, folder: Path, *, signature: Signature | None = None, threads: int = 1) -> Predictor:
    """Write the files of a model into `folder` and load it from there, as whoever serves it will."""
    for name, content in model.files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return load_predictor(model.flavor, folder, signature=signature, threads=threads)


def read_model(folder: Path) -> TrainedModel:
    """The model in the folder of a trial's checkpoint."""
    files = {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    }
    return TrainedModel(json.loads(files.pop(_FLAVOR)), files)


def context_of(
    config: Mapping[str, Any], plan: TrialPlan, train: Part, valid: Part, reporter: Reporter, **more: Any
) -> TrialContext:
    """What the trainer gets; `more` are fields of `TrialContext` that hold for this process only."""
    fields: dict[str, Any] = {
        "params": dict(config),
        "task": plan.task,
        "metric": plan.metric,
        "maximize": plan.maximize,
        "seed": plan.seed,
        "max_iterations": plan.max_iterations,
        "threads": plan.threads,
        "device": plan.device,
        "x_train": train.x,
        "y_train": train.y,
        "x_valid": valid.x,
        "y_valid": valid.y,
        "train_pictures": train.pictures,
        "valid_pictures": valid.pictures,
        "categorical": plan.signature.categorical,
        "signature": plan.signature,
        "report": reporter.report,
        "log": reporter.log,
        "achieved": reporter.note_achieved,
        "checkpoint": _Checkpoints(reporter, plan.checkpoint_every_s),
        "data_id": None if plan.shards else plan.data_id,
        "workers": max(1, len(plan.shards)),
    }
    return TrialContext(**fields | more)


class _Checkpoints:
    """Writes what a trainer wants to go on from into a folder, with how far the trial was, every `every_s` seconds."""

    def __init__(self, reporter: Reporter, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._reporter = reporter
        self._every_s = every_s
        self._clock = clock
        self._due_s = clock() + every_s

    def __call__(self, iteration: int, metrics: Mapping[str, float], state: bytes | Callable[[], bytes]) -> None:
        """Report, with `state` as the checkpoint when one is due."""
        if self._clock() < self._due_s:
            self._reporter.report(iteration, metrics)
            return
        with tempfile.TemporaryDirectory(prefix="mlops-ray-state-") as name:
            (Path(name) / _STATE).write_bytes(state() if callable(state) else state)
            self._reporter.report(iteration, metrics, Path(name))
        self._due_s = self._clock() + self._every_s


def taken_over(reporter: Reporter, checkpoint: Any) -> bytes | None:
    """What another trial, or this one before it failed, left to go on from; `reporter` is brought there."""
    if checkpoint is None:
        return None
    with checkpoint.as_directory() as name:
        if not (Path(name) / _PROGRESS).exists():
            return None  # a finished model: nothing to go on from
        progress = json.loads((Path(name) / _PROGRESS).read_text(encoding="utf-8"))
        reporter.iteration, reporter.best = int(progress[ITERATION]), float(progress[BEST])
        reporter.resumed_from = reporter.iteration
        return (Path(name) / _STATE).read_bytes()


def write_progress(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Put beside a state how far the trial was."""
    progress = {ITERATION: metrics[ITERATION], BEST: metrics[BEST]}
    (folder / _PROGRESS).write_text(json.dumps(progress), encoding="utf-8")


def _send(metrics: dict[str, Any], folder: Path | None) -> None:
    if folder is None:
        tune.report(metrics)
        return
    if FINISHED not in metrics:
        write_progress(folder, metrics)
    tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))
