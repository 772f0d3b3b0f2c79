"""The alerts of one model: what is open in the store, and what people were told."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlops_ray.alerting import AlertEvent, rank
from mlops_ray.monitor.alert_outbox import AlertOutbox
from mlops_ray.monitor.finding import Finding
from mlops_ray.store import AlertRecord, Event, Store

__all__ = ["AlertBook"]

_ACTOR = "monitor"
_OF_DELIVERIES = ("sample_ratio",)


class AlertBook:
    """At most one alert is open for each version and kind, from the first sign of an episode to its end.

    It names the features that are affected now. People are told when it opens, when features join, when it gets more
    severe and when it is over: what is told to whom is written in the transaction of the alert. What follows an alert
    (a retraining) follows it once an episode.
    """

    def __init__(self, model: str, store: Store, outbox: AlertOutbox) -> None:
        self._model = model
        self._store = store
        self._outbox = outbox

    def open_alert(self, kind: str, version: int) -> AlertRecord | None:
        """The alert of that kind on that version, if one is open."""
        return _of(self._open(), kind, version)

    def report(self, finding: Finding, now_s: float) -> None:
        """Open an alert, or bring the open one up to date."""
        known = self.open_alert(finding.kind, finding.version)
        if known is None:
            self._raise(finding, now_s)
        elif set(known.features) != set(finding.features) or known.severity != finding.severity:
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
            evidence=self._kept(finding.evidence),
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
            self._outbox.tell(change, record, "raised", now_s)
        self._outbox.changed.set()

    def _update(self, known: AlertRecord, finding: Finding, now_s: float) -> None:
        news = _news(known, finding)
        record = replace(
            known,
            severity=finding.severity,
            message=finding.message,
            features=finding.features,
            evidence={**self._kept(finding.evidence), **_reported(known)},
            updated_s=now_s,
        )
        kind = "alert.escalated" if news == "escalated" else "alert.updated"
        with self._store.change(Event(kind, known.id, _payload(finding), _ACTOR, now_s)) as change:
            if change.alert(known.id) != known:
                # Another monitor was first; what it did is seen at the next look.
                change.skip()
                return
            change.put_alert(record)
            if news is not None:
                before = known.severity if news == "escalated" else ""
                self._outbox.tell(change, record, news, now_s, severity_before=before)
        self._outbox.changed.set()

    def _close(self, alert: AlertRecord, reason: str, now_s: float) -> None:
        with self._store.change(Event("alert.resolved", alert.id, {"reason": reason}, _ACTOR, now_s)) as change:
            if change.alert(alert.id).state != "open":
                change.skip()
                return
            record = replace(alert, state="resolved", updated_s=now_s)
            change.put_alert(record)
            self._outbox.tell_end(change, record, reason, now_s)
        self._outbox.changed.set()

    def _kept(self, evidence: Mapping[str, Any]) -> Mapping[str, Any]:
        """Without what users sent, where people must not see it."""
        most, kept = self._outbox.policy.samples, dict(evidence)
        if "samples" in kept:
            kept["samples"] = list(kept["samples"])[:most]
        if not most and "problems" in kept:
            kept["problems"] = [{**problem, "values": ""} for problem in kept["problems"]]
        return kept


def _news(known: AlertRecord, finding: Finding) -> AlertEvent | None:
    """What people want to hear of a change; None: nothing new."""
    if rank(finding.severity) > rank(known.severity):
        return "escalated"
    return "updated" if set(finding.features) - set(known.features) else None


def _of(alerts: Sequence[AlertRecord], kind: str, version: int) -> AlertRecord | None:
    return next((a for a in alerts if (a.kind, a.version) == (kind, version)), None)


def _payload(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "severity": finding.severity,
        "version": finding.version,
        "message": finding.message,
        "features": list(finding.features),
    }


def _reported(known: AlertRecord) -> dict[str, Any]:
    """What others wrote on the alert: where its report lies."""
    return {name: value for name, value in known.evidence.items() if name.startswith("report")}
