"""Judges the champion by the outcomes that came back."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mlops_ray.monitor.alert_book import AlertBook
from mlops_ray.monitor.finding import Finding
from mlops_ray.monitor.performance import Performance, drop_of, performance_since
from mlops_ray.monitor.reference import Watched
from mlops_ray.records import RecordLog
from mlops_ray.spec import Decay, ModelSpec

__all__ = ["LabelJudge"]

_WINDOWS = 10


class LabelJudge:
    """One for each champion."""

    def __init__(self, spec: ModelSpec, book: AlertBook, log: RecordLog, watched: Watched) -> None:
        self._spec = spec
        self._book = book
        self._log = log
        self._watched = watched
        self._performance: Performance | None = None

    def measure(self, now_s: float) -> Performance:
        """Performance on outcomes; only reads the lake, so it needs no lock and holds nobody up."""
        horizon_s = self._spec.monitor.window.size_s * _WINDOWS
        task = self._spec.train.task
        return performance_since(self._log, version=self._watched.version, task=task, since_s=now_s - horizon_s)

    def weigh(self, seen: Performance, now_s: float) -> None:
        """Take a measured performance in, and raise or resolve the alert on decay."""
        self._performance = seen
        decay = self._spec.monitor.labels.decay
        if decay is None or seen.rows < decay.min_labels:
            return
        known, now = self._watched.metrics.get(decay.metric), seen.metrics.get(decay.metric)
        if known is None or now is None:
            return
        drop = drop_of(decay.metric, self._spec.train.task, known=known, now=now)
        if drop > decay.max_drop:
            self._book.report(_decay(self._spec.name, decay, seen, known=known, now=now), now_s)
        elif drop <= decay.max_drop / 2:
            # Between the two nothing changes, so that a metric at the edge does not flap.
            self._book.resolve("decay", self._watched.version, f"{decay.metric} is {now:.4f} again", now_s)

    def status(self) -> Mapping[str, Any]:
        """The newest performance as JSON values."""
        return {"performance": asdict(self._performance) if self._performance else None}


def _decay(model: str, decay: Decay, seen: Performance, *, known: float, now: float) -> Finding:
    message = (
        f"{decay.metric} of {model} v{seen.version} is {now:.4f} on {seen.rows} labelled rows, {known:.4f} on the "
        f"holdout; worse by more than {decay.max_drop:g}"
    )
    return Finding("decay", "critical", seen.version, message, evidence=asdict(seen))
