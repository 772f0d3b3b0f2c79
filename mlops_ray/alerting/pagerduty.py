"""Alerts as events of PagerDuty (Events API v2, developer.pagerduty.com/docs/events-api-v2-overview)."""

import json
from typing import Any

from mlops_ray.alerting.alert import Alert, Message
from mlops_ray.alerting.evidence import effects, facts, histograms, notes, samples
from mlops_ray.alerting.post import host_of, post, resolved
from mlops_ray.alerting.words import action, bars, commands, effect_line, moment
from mlops_ray.errors import AlertError

__all__ = ["PagerDutySink", "pagerduty_event"]

_MOST_SUMMARY = 1024
_MOST_KEY = 255
_MOST_BYTES = 400_000  # it refuses events above 512 KB


class PagerDutySink:
    """One incident for each alert: triggered, updated and resolved under its id as `dedup_key`.

    A repeated event of the same incident opens nothing new. `routing_key` and `url` are as in the spec.
    """

    takes_groups = False
    repeat_s: float | None = None

    def __init__(self, routing_key: str, url: str, timeout_s: float = 10.0) -> None:
        self._routing_key = routing_key
        self._url = url
        self._timeout_s = timeout_s
        self.name = f"pagerduty {host_of(url)}"

    def send(self, message: Message) -> None:
        """POST the event of the message's one alert.

        Raises:
            AlertError: no answer in time, or one other than 2xx.
        """
        (alert,) = message.alerts
        key = resolved(self._routing_key, self.name)
        try:
            event = pagerduty_event(alert, key, message.shown_features)
            post(self._url, event, name=self.name, timeout_s=self._timeout_s)
        except AlertError as error:
            raise AlertError(error.message.replace(key, "..."), error.final, error.retry_after_s) from None


def pagerduty_event(alert: Alert, routing_key: str, most: int) -> dict[str, Any]:
    """The body of one event."""
    known = {"routing_key": routing_key, "dedup_key": alert.id[:_MOST_KEY]}
    if alert.event == "resolved":
        return known | {"event_action": "resolve"}
    version = "" if alert.version is None else f" v{alert.version}"
    return known | {
        "event_action": "trigger",
        "client": "mlops-ray",
        "payload": {
            "summary": f"{alert.model}: {alert.message}"[:_MOST_SUMMARY],
            "source": f"{alert.model}{version}",
            "severity": alert.severity,
            "timestamp": moment(alert.raised_s).replace(" UTC", "Z").replace(" ", "T"),
            "component": alert.model,
            "class": alert.kind,
            "custom_details": _details(alert, most),
        },
    }


def _details(alert: Alert, most: int) -> dict[str, Any]:
    details = {
        "features": [effect_line(effect) for effect in effects(alert, most)] or list(alert.features),
        "findings": notes(alert, most),
        "facts": facts(alert),
        "suggested_action": action(alert),
        "commands": commands(alert),
        "pictures": {h.feature: bars(h) for h in histograms(alert, most)},
        "samples": samples(alert),
    }
    whole = len(json.dumps(details).encode()) <= _MOST_BYTES
    return details if whole else details | {"pictures": {}, "samples": []}
