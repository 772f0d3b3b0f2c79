"""Alerts for a Prometheus Alertmanager (API v2, openapi.yaml of prometheus/alertmanager)."""

from datetime import UTC, datetime
from typing import Any

from mlops_ray.alerting.alert import Alert, Message
from mlops_ray.alerting.evidence import effects, notes
from mlops_ray.alerting.post import host_of, post
from mlops_ray.alerting.words import action, commands, effect_line

__all__ = ["AlertmanagerSink", "alertmanager_alerts"]

_LASTS = 4  # repetitions that may be missed before it takes an alert for over, as Prometheus does it


class AlertmanagerSink:
    """Hands alerts over under labels that name model, version, kind and severity; it does its own routing.

    The same labels are the same alert, so that a repeated message changes nothing.
    """

    takes_groups = True

    def __init__(self, url: str, repeat_s: float = 60.0, timeout_s: float = 10.0) -> None:
        self._url = url
        self.repeat_s: float | None = repeat_s
        self._lasts_s = _LASTS * repeat_s
        self._timeout_s = timeout_s
        self.name = f"alertmanager {host_of(url)}"

    def send(self, message: Message) -> None:
        """POST all alerts of a message.

        Raises:
            AlertError: no answer in time, or one other than 2xx.
        """
        body = alertmanager_alerts(message, lasts_s=self._lasts_s)
        post(f"{self._url.rstrip('/')}/api/v2/alerts", body, name=self.name, timeout_s=self._timeout_s)


def alertmanager_alerts(message: Message, *, lasts_s: float) -> list[dict[str, Any]]:
    """The body: an alert that is open ends `lasts_s` after the message, unless it is repeated.

    One that became more severe has other labels: the one with the labels before ends.
    """
    found = []
    for alert in message.alerts:
        if alert.severity_before:
            found.append(_alert(alert, alert.severity_before, alert.at_s, message.shown_features))
        ends_s = alert.at_s if alert.event == "resolved" else message.sent_s + lasts_s
        found.append(_alert(alert, alert.severity, ends_s, message.shown_features))
    return found


def _alert(alert: Alert, severity: str, ends_s: float, most: int) -> dict[str, Any]:
    found = [effect_line(effect) for effect in effects(alert, most)] + notes(alert, most)
    version = {} if alert.version is None else {"version": str(alert.version)}
    return {
        "labels": {"alertname": f"mlops_ray_{alert.kind}", "model": alert.model, "severity": severity, **version},
        "annotations": {
            "summary": alert.message,
            "description": "; ".join(found or alert.features),
            "action": action(alert),
            "commands": "\n".join(commands(alert)),
            "id": alert.id,
        },
        "startsAt": _rfc3339(alert.raised_s),
        "endsAt": _rfc3339(max(ends_s, alert.raised_s)),
    }


def _rfc3339(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
