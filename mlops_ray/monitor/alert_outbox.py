"""What people are still to be told about one model: rows of the store, written together with the alert."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mlops_ray.alerting import Alert, AlertEvent, Route
from mlops_ray.monitor.alert_plan import TELLING, cooldown_until, is_waiting, silenced
from mlops_ray.spec import AlertPolicy
from mlops_ray.store import AlertRecord, Change, DeliveryRecord

__all__ = ["AlertOutbox"]


class AlertOutbox:
    """Says which routes hear of what, and when; `changed` wakes whoever sends."""

    def __init__(self, model: str, routes: Sequence[Route], policy: AlertPolicy) -> None:
        self.model = model
        self.routes = {route.name: route for route in routes}
        self.policy = policy
        self.changed = threading.Event()

    def tell(
        self, change: Change, record: AlertRecord, event: AlertEvent, now_s: float, *, severity_before: str = ""
    ) -> None:
        """Write what every route is to be told of an alert that was raised or has changed."""
        content = _content(record, event, now_s, severity_before=severity_before)
        for route in self.routes.values():
            if route.takes(record.kind, record.severity):
                self._tell(change, route, record, content, now_s)

    def tell_end(self, change: Change, record: AlertRecord, reason: str, now_s: float) -> None:
        """Write that an alert is over, for routes that want to know and have heard of it."""
        content = _content(record, "resolved", now_s, reason=reason)
        for name in sorted({d.route for d in change.deliveries(alert=record.id)}):
            known = change.deliveries(alert=record.id, route=name)
            for row in known:
                if row.event == "repeated" or (is_waiting(row) and row.hold):
                    dropped = replace(row, state="dropped", reason="over before it was told", updated_s=now_s)
                    change.put_delivery(dropped)
            heard = any(
                d.event in TELLING and d.state != "dropped" for d in change.deliveries(alert=record.id, route=name)
            )
            if heard and name in self.routes and self.routes[name].resolved:
                change.put_delivery(self._row(record, content, name, known, due_s=now_s + self.policy.group_s))

    def _tell(self, change: Change, route: Route, record: AlertRecord, content: dict[str, Any], now_s: float) -> None:
        key = _key(record)
        about = change.deliveries(key=key, route=route.name)
        known = [d for d in about if d.alert == record.id]
        waiting = next((d for d in known if is_waiting(d) and d.event in TELLING), None)
        others = [d for d in about if d is not waiting]
        due_s, hold = self._due(change, record, others, now_s)
        if waiting is not None:
            # Nobody has heard of it yet: it is told as it is now.
            content = {**content, "event": waiting.event, "severity_before": waiting.content["severity_before"]}
            due_s = due_s if hold else min(due_s, waiting.due_s)
            fresh: dict[str, Any] = {"content": content, "severity": record.severity, "updated_s": now_s}
            change.put_delivery(replace(waiting, hold=hold, due_s=due_s, next_s=due_s, **fresh))
            return
        if not known:
            content = {**content, "event": "raised", "severity_before": ""}
        change.put_delivery(replace(self._row(record, content, route.name, known, due_s=due_s), hold=hold))

    def _due(
        self, change: Change, record: AlertRecord, about: Sequence[DeliveryRecord], now_s: float
    ) -> tuple[float, str]:
        """When to tell it, and what holds it back until then."""
        due_s = now_s + self.policy.group_s
        cool_s = cooldown_until(about, record.severity, self.policy.cooldown_s)
        hold = "cooldown" if cool_s > due_s else ""
        due_s = max(due_s, cool_s)
        silence = silenced(record.model, record.kind, record.features, change.silences(at_s=now_s))
        if silence is not None and silence.until_s > due_s:
            return silence.until_s, f"silence {silence.id}"
        return due_s, hold

    def _row(
        self, record: AlertRecord, content: dict[str, Any], route: str, known: Sequence[DeliveryRecord], *, due_s: float
    ) -> DeliveryRecord:
        number = 1 + max((d.number for d in known), default=0)
        return DeliveryRecord(
            id=f"{record.id}/{number}/{route}",
            alert=record.id,
            number=number,
            model=record.model,
            key=_key(record),
            route=route,
            event=content["event"],
            severity=record.severity,
            content=content,
            state="pending",
            hold="",
            message="",
            attempts=0,
            first_attempt_s=None,
            due_s=due_s,
            next_s=due_s,
            owner="",
            lease_until_s=0.0,
            reason="",
            created_s=content["at_s"],
            updated_s=content["at_s"],
        )


def _content(
    record: AlertRecord, event: AlertEvent, now_s: float, *, reason: str = "", severity_before: str = ""
) -> dict[str, Any]:
    return Alert(
        id=record.id,
        model=record.model,
        kind=record.kind,
        severity=record.severity,  # type: ignore[arg-type]
        message=record.message,
        features=record.features,
        evidence=record.evidence,
        at_s=now_s,
        version=record.version,
        event=event,
        raised_s=record.at_s,
        reason=reason,
        severity_before=severity_before,
    ).to_json()


def _key(record: AlertRecord) -> str:
    return f"{record.model}/{record.kind}/v{record.version}"
