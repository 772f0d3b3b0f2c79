"""The thread that brings an outbox to MLflow: in batches, beside the trials, for as long as it takes."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlops_ray.errors import TrackingError
from mlops_ray.tracking.connection import is_refusal
from mlops_ray.tracking.outbox import Outbox
from mlops_ray.tracking.tracking import Tracking
from mlops_ray.tracking.values import MetricPoint

__all__ = ["Sender"]

_ENTRIES_AT_ONCE = 500
_GATHER_S = 0.2  # entries that come within it travel together
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0


class Sender:
    """Sends what `outbox` holds about the trials of `sweep_run`; used as a context manager.

    Sending an entry twice does no harm: a trial's run is found by its tag, and MLflow keeps one of two points that are
    alike to the millisecond. So an entry counts as sent only when MLflow has said so.
    """

    def __init__(self, tracking: Tracking, sweep_run: str, outbox: Outbox, *, tell: Callable[[str], None]) -> None:
        self._tracking = tracking
        self._sweep_run = sweep_run
        self._outbox = outbox
        self._tell = tell
        self._stopped = threading.Event()
        # a daemon: a server that never answers must not keep the process
        self._thread = threading.Thread(target=self._work, name="mlflow-sender", daemon=True)

    def __enter__(self) -> "Sender":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(timeout=_GATHER_S * 5)

    def drain(self, limit_s: float) -> bool:
        """Wait until MLflow has everything, `limit_s` at most; whether it has."""
        return self._outbox.wait_until_sent(limit_s)

    def _work(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopped.is_set():
            if not self._outbox.wait(_GATHER_S):
                continue
            try:
                self._tracking.check_alive()
                self._send_some()
            except TrackingError as error:
                if pause_s == _FIRST_PAUSE_S:
                    self._tell(f"{error}; what it is to be told is kept in {self._outbox.file} until it answers")
                self._stopped.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            if pause_s > _FIRST_PAUSE_S:
                self._tell("MLflow answers again")
            pause_s = _FIRST_PAUSE_S
            self._stopped.wait(_GATHER_S)

    def _send_some(self) -> None:
        entries, place = self._outbox.unsent(_ENTRIES_AT_ONCE)
        by_trial: dict[str, list[dict[str, Any]]] = {}
        for entry in entries:
            by_trial.setdefault(entry["trial"], []).append(entry)
        for trial, of_trial in by_trial.items():
            self._send_trial(trial, of_trial)
        self._outbox.mark_sent(place)

    def _send_trial(self, trial: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """In order; points in a row become one call."""
        points: list[MetricPoint] = []
        for entry in entries:
            if entry["kind"] == "points":
                points += [MetricPoint(*values) for values in entry["points"]]
                continue
            self._send_points(trial, points)
            points = []
            self._orderly(trial, lambda entry=entry: self._send_entry(trial, entry))  # type: ignore[misc]
        self._send_points(trial, points)

    def _send_points(self, trial: str, points: Sequence[MetricPoint]) -> None:
        if points and trial in self._outbox.runs:
            self._orderly(trial, lambda: self._tracking.log_points(self._outbox.runs[trial], points))

    def _send_entry(self, trial: str, entry: Mapping[str, Any]) -> None:
        if entry["kind"] == "start":
            started = self._tracking.start_trial(self._sweep_run, trial, entry["params"])
            self._outbox.runs[trial] = started
            self._tracking.set_tags(started, {"mlops_ray.attempt": str(entry["attempt"])})
            if entry["attempt"] > 1:
                self._tracking.reopen(started)
            return
        run_id = self._outbox.runs.get(trial)
        if run_id is None:
            return  # its start was refused, which was told
        if entry["kind"] == "text":
            self._tracking.log_text(run_id, entry["text"], entry["path"])
        elif entry["kind"] == "end":
            self._tracking.set_tags(run_id, entry["tags"])
            self._tracking.end_run(run_id, entry["status"], at_s=entry["at_s"])

    def _orderly(self, trial: str, send: Callable[[], None]) -> None:
        """Send; what MLflow refuses for what it is would be refused for ever: it is told, and left out."""
        try:
            send()
        except TrackingError as error:
            if not is_refusal(error):
                raise
            self._tell(f"trial {trial}: {error}; left out of MLflow, still in {self._outbox.file}")
