"""What Ray Tune's driver tells about trials, kept for the decision and passed on to MLflow in batches.

Tune ships a callback for MLflow; it makes flat runs with one call per number, and a resumed sweep doubles its runs.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray.tune import Callback, Checkpoint

from mlops_ray.tracking import MetricPoint, RunStatus, Tracking
from mlops_ray.train.trial import BEST, FINISHED, ITERATION

__all__ = ["SweepLog", "TrialLog"]

_POINTS_PER_CALL = 50


@dataclass
class TrialLog:
    """What is known of one trial."""

    number: int  # 1, 2, … in the order they started
    trial_id: str
    run_id: str  # MLflow's
    params: Mapping[str, Any]
    value: float | None = None  # the last reported best validation value
    iteration: int = 0
    checkpoint: Checkpoint | None = None  # only a trial that went to its end has one
    error: str | None = None
    points: list[MetricPoint] = field(default_factory=list)  # not yet in MLflow


class SweepLog(Callback):
    """Follows a sweep whose parent run is `sweep_run`; `trials` is its result."""

    def __init__(
        self,
        tracking: Tracking,
        sweep_run: str,
        *,
        metric: str,
        planned: int,
        progress: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.trials: dict[str, TrialLog] = {}
        self._tracking = tracking
        self._sweep_run = sweep_run
        self._metric = metric
        self._planned = planned
        self._progress = progress
        self._clock = clock

    def on_trial_start(self, *, trial: Any, **_: Any) -> None:
        """A trial begins: its child run does, too."""
        self._log_of(trial)

    def on_trial_result(self, *, trial: Any, result: Mapping[str, Any], **_: Any) -> None:
        """A trial reported."""
        log = self.trials[trial.trial_id]
        log.value, log.iteration = float(result[BEST]), int(result[ITERATION])
        now_s = self._clock()
        log.points.append(MetricPoint(f"validation_{self._metric}", float(result[self._metric]), log.iteration, now_s))
        if len(log.points) >= _POINTS_PER_CALL:
            self._send(log)

    def on_trial_complete(self, *, trial: Any, **_: Any) -> None:
        """A trial came to its end, or was ended early for want of prospects."""
        log = self.trials[trial.trial_id]
        # an earlier checkpoint is what the trial could go on from, not a model
        log.checkpoint = trial.checkpoint if trial.last_result.get(FINISHED) else None
        self._end(log, "FINISHED", "completed" if log.checkpoint is not None else "stopped_early")

    def on_trial_error(self, *, trial: Any, **_: Any) -> None:
        """A trial failed; the others go on."""
        log = self._log_of(trial)  # it may have failed before it started
        log.error, traceback = _cause(trial)
        self._tracking.log_text(log.run_id, traceback, "error.txt")
        self._end(log, "FAILED", "failed")

    def _log_of(self, trial: Any) -> TrialLog:
        if trial.trial_id not in self.trials:
            run_id = self._tracking.start_trial(self._sweep_run, trial.trial_id, trial.config)
            self.trials[trial.trial_id] = TrialLog(len(self.trials) + 1, trial.trial_id, run_id, dict(trial.config))
        return self.trials[trial.trial_id]

    def _end(self, log: TrialLog, status: RunStatus, outcome: str) -> None:
        self._send(log)
        tags = {"mlops_ray.outcome": outcome} | ({"mlops_ray.error": log.error} if log.error else {})
        self._tracking.set_tags(log.run_id, tags)
        self._tracking.end_run(log.run_id, status)
        said = log.error or f"{self._metric} {log.value or 0:.4g} at iteration {log.iteration}"
        self._progress(f"trial {log.number} of {self._planned} {outcome.replace('_', ' ')}: {said}")

    def _send(self, log: TrialLog) -> None:
        self._tracking.log_points(log.run_id, log.points)
        log.points = []


def _cause(trial: Any) -> tuple[str, str]:
    """The exception of a failed trial in one line, and its whole traceback."""
    # the file Tune has just written; its own getters look at the storage, where it comes later
    file = trial.error_file
    text = Path(file).read_text(encoding="utf-8").strip() if file else ""
    return (text.splitlines()[-1].strip(), text) if text else ("failed without a message", "")
