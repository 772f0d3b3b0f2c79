"""What a trial tells of itself as it goes: the numbers that a scheduler and a search compare."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlops_ray.errors import TrainError
from mlops_ray.spec import Metric

__all__ = ["BEST", "FINISHED", "ITERATION", "LOGGED", "RESUMED", "Reporter"]

ITERATION = "iteration"
BEST = "best_so_far"  # what the scheduler and the search compare
FINISHED = "finished"  # only in the last report, whose checkpoint is the model
LOGGED = "logged"  # [name, value, step] of what the trainer logged since the last report
RESUMED = "resumed_from"  # only in the last report: the iteration of the checkpoint this attempt went on from
# the names MLflow takes
_METRIC_NAME = re.compile(r"[\w./ :-]{1,250}")

Send = Callable[[dict[str, Any], Path | None], None]


@dataclass
class Reporter:
    """Reports through `send`, and remembers how far the trial came and its best value."""

    metric: Metric
    maximize: bool
    max_iterations: int
    send: Send
    iteration: int = 0
    best: float | None = None
    resumed_from: int | None = None  # the iteration of the checkpoint that this attempt went on from
    achieved: float | None = None  # by the finished model, if the trainer told
    logged: list[tuple[str, float, int]] = field(default_factory=list)  # since the last report

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Called by the trainer; the driver takes it to MLflow with the next report, so that no worker has to."""
        for name, value in metrics.items():
            if not _METRIC_NAME.fullmatch(name):
                raise TrainError(f"context.log: expected letters, digits and ._-/: in a metric's name, found {name!r}")
            self.logged.append((name, float(value), int(step)))

    def note_achieved(self, value: float) -> None:
        """Called by a trainer that has measured its finished model."""
        self.achieved = float(value)

    def report(self, iteration: int, metrics: Mapping[str, float], folder: Path | None = None) -> None:
        """Called by the trainer; TrainError when the sweep's metric is not among `metrics`."""
        if self.metric not in metrics:
            raise TrainError(f"a trainer has to report {self.metric!r}, found {', '.join(metrics) or 'nothing'}")
        value = float(metrics[self.metric])
        best = value if self.best is None else self.best
        self.best = float(np.fmax(best, value) if self.maximize else np.fmin(best, value))
        # the scheduler ends a trial beyond max_iterations, which must not happen before its model is there
        self.iteration = min(iteration, self.max_iterations)
        numbers = {name: float(number) for name, number in metrics.items()}
        self.send({ITERATION: self.iteration, BEST: self.best, LOGGED: self._taken(), **numbers}, folder)

    def report_last(self, value: float, folder: Path) -> None:
        """The value of the finished model, and its files."""
        # one more than the last report: Tune's schedulers want this number to grow
        last = {ITERATION: self.iteration + 1, BEST: value, self.metric: value, FINISHED: True, LOGGED: self._taken()}
        self.send(last | ({} if self.resumed_from is None else {RESUMED: self.resumed_from}), folder)

    def _taken(self) -> list[tuple[str, float, int]]:
        logged, self.logged = self.logged, []
        return logged
