"""What Ray Tune's driver tells about trials, kept for the decision and put into the outbox for MLflow.

Tune ships a callback for MLflow; it makes flat runs with one call per number, and a resumed sweep doubles its runs.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from ray.tune import Callback

from mlops_ray.tracking import Outbox, RunStatus
from mlops_ray.train.reporter import BEST, FINISHED, ITERATION, LOGGED, RESUMED

__all__ = ["SweepLog", "TrialLog"]

# of a trial that ended
_KEPT = ("value", "iteration", "outcome", "checkpoint", "resumed_from", "error", "seconds")
# file of the outbox -> the log that writes it
_LIVE: WeakValueDictionary[str, "SweepLog"] = WeakValueDictionary()


@dataclass
class TrialLog:
    """What is known of one trial."""

    number: int  # 1, 2, … in the order they started
    trial_id: str
    params: Mapping[str, Any]
    attempt: int = 1  # grows when a trial has to begin again, or goes on from its checkpoint
    resumed_from: int | None = None  # iteration of the checkpoint that the attempt which came to its end went on from
    value: float | None = None  # the last reported best validation value
    iteration: int = 0
    outcome: str | None = None  # completed, stopped_early, failed; None: not ended
    checkpoint: str | None = None  # path in Tune's storage; only a trial that went to its end has one
    error: str | None = None
    seconds: float = 0.0  # of all attempts that ended
    curve: list[tuple[int, float]] = field(default_factory=list)  # iteration, validation metric
    steps: dict[str, int] = field(default_factory=dict)  # metric -> last step that was logged
    started_s: float = 0.0  # of this attempt


class SweepLog(Callback):
    """Follows a sweep by its outbox; `trials` is its result.

    Made on an outbox that holds something, it goes on from there: a trial that had not ended begins a new attempt,
    and of the steps it goes through again none is logged a second time.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        metric: str,
        planned: int,
        progress: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.trials: dict[str, TrialLog] = {}
        self._outbox = outbox
        self._metric = metric
        self._planned = planned
        self._progress = progress
        self._clock = clock
        self._names: dict[str, str] = {}  # Tune's id -> ours, where a trial goes on under another one
        for entry in outbox.entries():
            self._replay(entry)
        self.has_open_trials = False
        self._left_over = {log.trial_id for log in self.trials.values()}
        _LIVE[str(outbox.file)] = self

    def __reduce__(self) -> tuple[Callable[[str], "SweepLog"], tuple[str]]:
        """Tune saves its callbacks with the sweep and loads them when it is restored: that has to be this one."""
        return _live, (str(self._outbox.file),)

    def on_step_end(self, *, trials: Sequence[Any], **_: Any) -> None:
        """Tune has done something; trials that wait or run tell an interrupted sweep from a finished one."""
        self.has_open_trials = any(trial.status not in ("TERMINATED", "ERROR") for trial in trials)

    def on_trial_start(self, *, trials: Sequence[Any], trial: Any, **_: Any) -> None:
        """A trial begins, or goes on after a pause."""
        known = self._names.get(trial.trial_id) or self._predecessor(trial, trials)
        if known is None:
            log = TrialLog(len(self.trials) + 1, trial.trial_id, dict(trial.config))
            self.trials[trial.trial_id] = log
            self._names[trial.trial_id] = log.trial_id
            self._start(log)
        elif known in self._left_over:
            self._left_over.discard(known)
            self._names[trial.trial_id] = known
            self._start_again(self.trials[known])

    def on_trial_recover(self, *, trial: Any, **_: Any) -> None:
        """A trial failed, by the loss of its worker perhaps, and is tried once more."""
        log = self._log_of(trial)
        log.seconds += self._clock() - log.started_s
        self._progress(f"trial {log.number} of {self._planned} is tried again: {_cause(trial)[0]}")
        self._start_again(log)

    def on_trial_result(self, *, trial: Any, result: Mapping[str, Any], **_: Any) -> None:
        """A trial reported."""
        log, now_s = self._log_of(trial), self._clock()
        log.value, log.iteration = float(result[BEST]), int(result[ITERATION])
        log.resumed_from = result.get(RESUMED)
        points = [[f"validation_{self._metric}", float(result[self._metric]), log.iteration, now_s]]
        points += [[name, value, step, now_s] for name, value, step in result.get(LOGGED, ())]
        fresh = [point for point in points if self._is_new(log, point)]
        if fresh:
            self._outbox.append({"kind": "points", "trial": log.trial_id, "points": fresh, "value": log.value})

    def on_trial_complete(self, *, trial: Any, **_: Any) -> None:
        """A trial came to its end, or was ended early for want of prospects."""
        log = self._log_of(trial)
        # an earlier checkpoint is what the trial could go on from, not a model
        is_model = trial.checkpoint is not None and trial.last_result.get(FINISHED)
        log.checkpoint = trial.checkpoint.path if is_model else None
        self._end(log, "FINISHED", "completed" if log.checkpoint is not None else "stopped_early")

    def on_trial_error(self, *, trial: Any, **_: Any) -> None:
        """A trial failed; the others go on."""
        log = self._log_of(trial)  # it may have failed before it started
        log.error, traceback = _cause(trial)
        self._outbox.append({"kind": "text", "trial": log.trial_id, "path": "error.txt", "text": traceback})
        self._end(log, "FAILED", "failed")

    def give_up_left_over(self) -> None:
        """Trials of an earlier driver that nothing goes on with any more are ended."""
        for name in self._left_over:
            if self.trials[name].outcome is None:
                self._end(self.trials[name], "KILLED", "lost")

    def halt(self) -> None:
        """The driver ends before its trials do; a resumed sweep goes on with them."""
        for log in self.trials.values():
            if log.outcome is None:
                tags = {"mlops_ray.outcome": "halted"}
                self._outbox.append(
                    {"kind": "end", "trial": log.trial_id, "status": "KILLED", "tags": tags, "at_s": self._clock()}
                )

    def _log_of(self, trial: Any) -> TrialLog:
        if trial.trial_id not in self._names:
            self.on_trial_start(trials=[trial], trial=trial)
        return self.trials[self._names[trial.trial_id]]

    def _predecessor(self, trial: Any, trials: Sequence[Any]) -> str | None:
        """The trial of an earlier driver that `trial` is.

        Tune saves its state now and then. A trial that began after the last time is proposed again, with the same
        hyperparameters and another id.
        """
        if trial.trial_id in self._left_over:
            return str(trial.trial_id)
        known_to_tune = {other.trial_id for other in trials}
        alike = (n for n in self._left_over if n not in known_to_tune and self.trials[n].params == dict(trial.config))
        return next(alike, None)

    def _start(self, log: TrialLog) -> None:
        log.started_s = self._clock()
        self._outbox.append(
            {
                "kind": "start",
                "trial": log.trial_id,
                "number": log.number,
                "attempt": log.attempt,
                "params": dict(log.params),
                "at_s": log.started_s,
            }
        )

    def _start_again(self, log: TrialLog) -> None:
        log.attempt, log.outcome = log.attempt + 1, None
        self._start(log)

    def _is_new(self, log: TrialLog, point: Sequence[Any]) -> bool:
        name, value, step, _ = point
        if step <= log.steps.get(name, -1):
            return False
        log.steps[name] = step
        if name == f"validation_{self._metric}":
            log.curve.append((step, value))
        return True

    def _end(self, log: TrialLog, status: RunStatus, outcome: str) -> None:
        now_s = self._clock()
        log.outcome, log.seconds = outcome, log.seconds + max(0.0, now_s - log.started_s)
        tags = {"mlops_ray.outcome": outcome} | ({"mlops_ray.error": log.error} if log.error else {})
        self._outbox.append(
            {
                "kind": "end",
                "trial": log.trial_id,
                "status": status,
                "tags": tags,
                "at_s": now_s,
                "result": {name: getattr(log, name) for name in _KEPT},
            }
        )
        said = log.error or f"{self._metric} {log.value or 0:.4g} at iteration {log.iteration}"
        self._progress(f"trial {log.number} of {self._planned} {outcome.replace('_', ' ')}: {said}")

    def _replay(self, entry: Mapping[str, Any]) -> None:
        """One entry of an earlier driver."""
        name = entry["trial"]
        if entry["kind"] == "start":
            log = self.trials.setdefault(name, TrialLog(entry["number"], name, entry["params"]))
            log.attempt, log.outcome, log.started_s = entry["attempt"], None, entry["at_s"]
        elif entry["kind"] == "points":
            self.trials[name].value = entry["value"]
            for point in entry["points"]:
                self._is_new(self.trials[name], point)
        elif "result" in entry:
            for field_name, value in entry["result"].items():
                setattr(self.trials[name], field_name, value)


def _live(file: str) -> SweepLog:
    return _LIVE[file]


def _cause(trial: Any) -> tuple[str, str]:
    """The exception of a failed trial in one line, and its whole traceback."""
    # the file Tune has just written; its own getters look at the storage, where it comes later
    file = trial.error_file
    text = Path(file).read_text(encoding="utf-8").strip() if file else ""
    return (text.splitlines()[-1].strip(), text) if text else ("failed without a message", "")
