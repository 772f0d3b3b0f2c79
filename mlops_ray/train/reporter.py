"""What a trial tells of itself as it goes: the numbers that a scheduler and a search compare."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlops_ray.errors import TrainError
from mlops_ray.spec import Metric

__all__ = ["BEST", "FINISHED", "ITERATION", "Reporter"]

ITERATION = "iteration"
BEST = "best_so_far"  # what the scheduler and the search compare
FINISHED = "finished"  # only in the last report, whose checkpoint is the model

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
        self.send({ITERATION: self.iteration, BEST: self.best, **numbers}, folder)

    def report_last(self, value: float, folder: Path) -> None:
        """The value of the finished model, and its files."""
        # one more than the last report: Tune's schedulers want this number to grow
        last = {ITERATION: self.iteration + 1, BEST: value, self.metric: value, FINISHED: True}
        self.send(last, folder)
