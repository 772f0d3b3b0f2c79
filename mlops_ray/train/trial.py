"""One trial, as Ray Tune runs it in a worker: train, save, load again, score what was loaded."""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune

from mlops_ray.errors import TrainError
from mlops_ray.evaluation import score
from mlops_ray.model import Predictor, Signature, TrainedModel
from mlops_ray.model.predictor import load_predictor
from mlops_ray.spec import Metric, Task
from mlops_ray.train.trainers import find_trainer
from mlops_ray.train.training_data import Part
from mlops_ray.train.trial_context import TrialContext

__all__ = ["BEST", "ITERATION", "LOGGED", "TrialPlan", "load_model", "read_model", "run_trial"]

ITERATION = "iteration"
BEST = "best_so_far"  # what the scheduler and the search compare
LOGGED = "logged"  # [name, value, step] of what the trainer logged since the last report
_FLAVOR = "flavor.json"
# the names MLflow takes
_METRIC_NAME = re.compile(r"[\w./ :-]{1,250}")


@dataclass(frozen=True)
class TrialPlan:
    """What all trials of a sweep have in common."""

    trainer: str
    task: Task
    metric: Metric
    maximize: bool
    seed: int
    max_iterations: int
    threads: int
    device: str
    signature: Signature
    data: ray.ObjectRef  # of (train, valid), two `Part`s, in the object store once


def run_trial(config: Mapping[str, Any], *, plan: TrialPlan) -> None:
    """Train with the hyperparameters in `config`.

    Reports the validation metric as it goes, and at last that of the model as it will be loaded, with its files as
    the checkpoint: a model that cannot be loaded is a failed trial, not a failed deployment.
    """
    train, valid = ray.get(plan.data)
    reporter = _Reporter(plan)
    model = find_trainer(plan.trainer)(_context(config, plan, train, valid, reporter))
    with tempfile.TemporaryDirectory(prefix="mlops-ray-trial-") as name:
        folder = Path(name)
        predictor = load_model(model, folder, signature=plan.signature, threads=plan.threads)
        value = score(plan.metric, valid.y, np.asarray(predictor.predict(valid.x), dtype=np.float64))
        (folder / _FLAVOR).write_text(json.dumps(model.flavor), encoding="utf-8")
        reporter.report_last(value, folder)


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


class _Reporter:
    """Reports to Tune, and remembers how far the trial came and its best value."""

    def __init__(self, plan: TrialPlan) -> None:
        self._plan = plan
        self._best = -np.inf if plan.maximize else np.inf
        self._iteration = 0
        self._logged: list[tuple[str, float, int]] = []

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Called by the trainer; the driver takes it to MLflow with the next report, so that no worker has to."""
        for name, value in metrics.items():
            if not _METRIC_NAME.fullmatch(name):
                raise TrainError(f"context.log: expected letters, digits and ._-/: in a metric's name, found {name!r}")
            self._logged.append((name, float(value), int(step)))

    def report(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Called by the trainer; TrainError when the sweep's metric is not among `metrics`."""
        if self._plan.metric not in metrics:
            raise TrainError(f"a trainer has to report {self._plan.metric!r}, found {', '.join(metrics) or 'nothing'}")
        value = float(metrics[self._plan.metric])
        self._best = max(self._best, value) if self._plan.maximize else min(self._best, value)
        # the scheduler ends a trial beyond max_iterations, which must not happen before its model is there
        self._iteration = min(iteration, self._plan.max_iterations)
        values = {k: float(v) for k, v in metrics.items()}
        tune.report({ITERATION: self._iteration, BEST: self._best, LOGGED: self._taken(), **values})

    def report_last(self, value: float, folder: Path) -> None:
        """The value of the finished model, and its files."""
        # one more than the last report: Tune's schedulers want this number to grow
        metrics = {ITERATION: self._iteration + 1, BEST: value, self._plan.metric: value, LOGGED: self._taken()}
        tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))

    def _taken(self) -> list[tuple[str, float, int]]:
        logged, self._logged = self._logged, []
        return logged


def _context(config: Mapping[str, Any], plan: TrialPlan, train: Part, valid: Part, reporter: _Reporter) -> TrialContext:
    return TrialContext(
        params=dict(config),
        task=plan.task,
        metric=plan.metric,
        maximize=plan.maximize,
        seed=plan.seed,
        max_iterations=plan.max_iterations,
        threads=plan.threads,
        device=plan.device,
        x_train=train.x,
        y_train=train.y,
        x_valid=valid.x,
        y_valid=valid.y,
        categorical=plan.signature.categorical,
        signature=plan.signature,
        report=reporter.report,
        log=reporter.log,
    )
