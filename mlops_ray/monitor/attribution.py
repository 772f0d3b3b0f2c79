"""Judges whether the champion still reasons with the features that it did in training."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mlops_ray.drift import AttributionReference, AttributionShift, judge_attribution
from mlops_ray.errors import MlopsRayError
from mlops_ray.model import CHEAP_METHODS, read_attribution
from mlops_ray.monitor.alert_book import AlertBook
from mlops_ray.monitor.attribution_task import AttributionOrder, AttributionTasks
from mlops_ray.monitor.finding import Finding
from mlops_ray.spec import Attribution, ModelSpec
from mlops_ray.store import ModelVersionRecord
from mlops_ray.verdict import Verdict

__all__ = ["AttributionJudge"]

_log = logging.getLogger(__name__)
_SEED = 7
_MIN_ROWS = 50
_NAMED_SHARE = 0.25  # of the largest change: who changed less is not named


class AttributionJudge:
    """One for each champion. `tick` never waits: rows are explained elsewhere, one window at a time.

    Nothing is looked at where the bundle has no reference: the model has no exact and cheap method and the spec asks
    for none, or it is older.
    """

    def __init__(
        self,
        spec: ModelSpec,
        book: AlertBook,
        record: ModelVersionRecord,
        *,
        lake: str,
        tasks: AttributionTasks,
        now_s: float,
    ) -> None:
        self._spec = spec
        self._book = book
        self._record = record
        self._lake = lake
        self._tasks = tasks
        self._reference = _reference(spec.monitor.attribution, record)
        self._task: Any = None
        self._looked_s = now_s
        self._shift: AttributionShift | None = None
        self._in_a_row = 0
        """How many newest looks had the verdict of the newest."""

    def tick(self, now_s: float) -> None:
        """Begin to look when it is time, and take in what was seen; raise or resolve the alert."""
        if self._reference is None:
            return
        try:
            if self._task is not None:
                self._take(self._reference, now_s)
            elif now_s - self._looked_s >= self._spec.monitor.attribution.every_s:
                self._looked_s = now_s
                self._task = self._tasks.start(self._order(now_s))
        except MlopsRayError as error:
            self._task = None
            _log.warning("model %s: its window was not explained, tried again: %s", self._spec.name, error)

    def status(self) -> Mapping[str, Any]:
        """The newest judgement as JSON values."""
        return {"attribution": None if self._shift is None else asdict(self._shift)}

    def _order(self, now_s: float) -> AttributionOrder:
        record, monitor = self._record, self._spec.monitor
        return AttributionOrder(
            lake=self._lake,
            model=record.model,
            version=record.version,
            bundle_uri=record.bundle_uri,
            digest=record.digest,
            since_s=now_s - monitor.window.size_s,
            until_s=now_s,
            rows=monitor.attribution.rows,
        )

    def _take(self, reference: AttributionReference, now_s: float) -> None:
        found = self._tasks.result(self._task)
        if found is None:
            return
        self._task = None
        limits = self._spec.monitor.attribution
        shift = judge_attribution(reference, found, max_shift=limits.max_shift, min_rows=_MIN_ROWS, seed=_SEED)
        if shift.verdict is Verdict.INCONCLUSIVE:
            return
        same = self._shift is not None and self._shift.verdict is shift.verdict
        self._in_a_row = self._in_a_row + 1 if same else 1
        self._shift = shift
        if self._in_a_row >= limits.persist:
            self._say(shift, now_s)

    def _say(self, shift: AttributionShift, now_s: float) -> None:
        version = self._record.version
        if shift.verdict is Verdict.FAIL:
            self._book.report(_finding(self._record, shift), now_s)
        else:
            self._book.resolve("attribution", version, "the features weigh what they did in training", now_s)


def _reference(spec: Attribution, record: ModelVersionRecord) -> AttributionReference | None:
    if spec.enabled is False:
        return None
    try:
        reference = read_attribution(record.bundle_uri)
    except MlopsRayError as error:
        _log.warning("model %s v%d: its attribution is not watched: %s", record.model, record.version, error)
        return None
    cheap = reference is not None and reference.method in CHEAP_METHODS
    return reference if cheap or spec.enabled else None


def _finding(record: ModelVersionRecord, shift: AttributionShift) -> Finding:
    changes = {share.name: abs(share.window - share.reference) for share in shift.features}
    named = tuple(name for name, change in changes.items() if change >= _NAMED_SHARE * max(changes.values()))
    told = ", ".join(
        f"{s.name} ({s.reference:.0%} of all contributions in training, {s.window:.0%} now)"
        for s in shift.features
        if s.name in named
    )
    message = (
        f"{record.model} v{record.version} reasons with other features than in training: shares of contributions "
        f"moved by {shift.shift:.2f}, more than {shift.limit:.2f}: {told}"
    )
    return Finding("attribution", "warning", record.version, message, named, asdict(shift))
