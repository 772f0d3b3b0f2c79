"""Alerts as HTTP POSTs of JSON that Slack's incoming webhooks take, with all fields beside for other receivers."""

from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

import requests

from mlops_ray.alerting.alert import Alert
from mlops_ray.errors import AlertError

__all__ = ["WebhookSink", "webhook_body"]

_COLOURS = {"info": "#439fe0", "warning": "#daa038", "critical": "#a30200"}


class WebhookSink:
    """POSTs alerts to `url`. The path of such a URL is a secret, so that neither name nor errors show it."""

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        self._url = url
        self._timeout_s = timeout_s
        host = urlsplit(url)
        self.name = f"webhook {host.scheme}://{host.hostname}" + (f":{host.port}" if host.port else "")

    def send(self, alert: Alert) -> None:
        """POST one alert.

        Raises:
            AlertError: no answer in time, or one other than 2xx.
        """
        # A redirect is refused: following it turns a POST into a GET, which delivers nothing and is answered 200.
        try:
            answer = requests.post(self._url, json=webhook_body(alert), timeout=self._timeout_s, allow_redirects=False)
        except requests.RequestException as error:
            # The error's own text and its causes hold the URL.
            raise AlertError(f"{self.name}: expected an answer, found {type(error).__name__}") from None
        if not 200 <= answer.status_code < 300:
            raise AlertError(f"{self.name}: expected status 2xx, found {answer.status_code}: {answer.text[:200]!r}")


def webhook_body(alert: Alert) -> dict[str, Any]:
    """What is sent: `text` and `attachments` for Slack, and `alert` with every field for programs."""
    fields = [
        {"title": "model", "value": alert.model, "short": True},
        {"title": "kind", "value": alert.kind, "short": True},
    ]
    if alert.features:
        fields.append({"title": "features", "value": _escaped(", ".join(alert.features)), "short": False})
    return {
        "text": f"[{alert.severity}] {alert.model}: {_escaped(alert.message)}",
        "attachments": [{"color": _COLOURS[alert.severity], "fields": fields, "ts": int(alert.at_s)}],
        "alert": asdict(alert) | {"evidence": dict(alert.evidence), "features": list(alert.features)},
    }


def _escaped(text: str) -> str:
    """Slack's three control characters (api.slack.com/reference/surfaces/formatting#escaping)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
