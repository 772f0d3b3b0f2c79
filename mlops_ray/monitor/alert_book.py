"""The alerts of one model: what is open in the store, and what people were told."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from mlops_ray.alerting import Alert, Dispatcher
from mlops_ray.monitor.finding import Finding
from mlops_ray.store import AlertRecord, Event, Store

__all__ = ["AlertBook"]

_ACTOR = "monitor"
_OF_DELIVERIES = ("sample_ratio",)


class AlertBook:
    """At most one alert is open for each version and kind, from the first sign of an episode to its end.

    It names the features that are affected now. People are told when it opens and when features join, never twice of
    the same; what follows an alert (a retraining) follows it once an episode.
    """

    def __init__(self, model: str, store: Store, dispatcher: Dispatcher) -> None:
        self._model = model
        self._store = store
        self._dispatcher = dispatcher

    def open_alert(self, kind: str, version: int) -> AlertRecord | None:
        """The alert of that kind on that version, if one is open."""
        return _of(self._open(), kind, version)

    def report(self, finding: Finding, now_s: float) -> None:
        """Open an alert, or bring the open one up to date."""
        known = self.open_alert(finding.kind, finding.version)
        if known is None:
            self._raise(finding, now_s)
        elif set(known.features) != set(finding.features):
            self._update(known, finding, now_s)

    def resolve(self, kind: str, version: int, reason: str, now_s: float) -> None:
        """Close the open alert of that kind, if there is one."""
        known = self.open_alert(kind, version)
        if known is not None:
            self._close(known, reason, now_s)

    def resolve_others(self, champion: int, now_s: float) -> None:
        """Close what is open on versions that are champion no more."""
        for alert in self._open():
            if alert.kind not in _OF_DELIVERIES and alert.version is not None and alert.version != champion:
                self._close(alert, f"version {champion} is champion now", now_s)

    def resolve_ended(self, delivered: Collection[int], now_s: float) -> None:
        """Close what is open on deliveries, but for those under way."""
        for alert in self._open():
            if alert.kind in _OF_DELIVERIES and alert.version not in delivered:
                self._close(alert, "the rollout has ended", now_s)

    def _open(self) -> list[AlertRecord]:
        return self._store.alerts(self._model, state="open")

    def _raise(self, finding: Finding, now_s: float) -> None:
        record = AlertRecord(
            id=f"{self._model}-{finding.kind}-v{finding.version}-{int(now_s * 1000)}",
            model=self._model,
            version=finding.version,
            kind=finding.kind,
            severity=finding.severity,
            message=finding.message,
            features=finding.features,
            evidence=finding.evidence,
            state="open",
            at_s=now_s,
            updated_s=now_s,
        )
        with self._store.change(Event("alert.raised", record.id, _payload(finding), _ACTOR, now_s)) as change:
            if _of(change.alerts(self._model, state="open"), finding.kind, finding.version) is not None:
                # Another monitor was first: the actor that this one replaces may live a moment longer.
                change.skip()
                return
            change.put_alert(record)
        self._tell(record.id, finding, now_s)

    def _update(self, known: AlertRecord, finding: Finding, now_s: float) -> None:
        record = replace(
            known, message=finding.message, features=finding.features, evidence=finding.evidence, updated_s=now_s
        )
        with self._store.change(Event("alert.updated", known.id, _payload(finding), _ACTOR, now_s)) as change:
            change.put_alert(record)
        joined = sorted(set(finding.features) - set(known.features))
        if joined:
            # An id of its own: whoever drops what it has seen must not drop this.
            self._tell(f"{known.id}+{'+'.join(joined)}", finding, now_s)

    def _close(self, alert: AlertRecord, reason: str, now_s: float) -> None:
        with self._store.change(Event("alert.resolved", alert.id, {"reason": reason}, _ACTOR, now_s)) as change:
            change.put_alert(replace(alert, state="resolved", updated_s=now_s))

    def _tell(self, id: str, finding: Finding, now_s: float) -> None:
        self._dispatcher.submit(
            Alert(
                id=id,
                model=self._model,
                kind=finding.kind,
                severity=finding.severity,
                message=finding.message,
                features=finding.features,
                evidence=finding.evidence,
                at_s=now_s,
            )
        )


def _of(alerts: Sequence[AlertRecord], kind: str, version: int) -> AlertRecord | None:
    return next((a for a in alerts if (a.kind, a.version) == (kind, version)), None)


def _payload(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "version": finding.version,
        "message": finding.message,
        "features": list(finding.features),
    }
