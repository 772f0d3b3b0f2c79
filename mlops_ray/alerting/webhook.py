"""Alerts as HTTP POSTs of JSON that holds everything, for programs."""

from typing import Any

from mlops_ray.alerting.alert import Alert, Message
from mlops_ray.alerting.evidence import effects, notes
from mlops_ray.alerting.post import host_of, post
from mlops_ray.alerting.words import action, commands, subject

__all__ = ["WebhookSink", "webhook_body"]


class WebhookSink:
    """POSTs messages to `url`. The path of such a URL is a secret, so that neither name nor errors show it.

    A message that is sent again has the same header `Idempotency-Key`.
    """

    takes_groups = True
    repeat_s: float | None = None

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self.name = f"webhook {host_of(url)}"

    def send(self, message: Message) -> None:
        """POST one message.

        Raises:
            AlertError: no answer in time, or one other than 2xx.
        """
        headers = {"Idempotency-Key": message.id}
        post(self._url, webhook_body(message), name=self.name, timeout_s=self._timeout_s, headers=headers)


def webhook_body(message: Message) -> dict[str, Any]:
    """What is sent: `id` for dropping repeats, `text` for chats, and `alerts` with every field for programs."""
    return {
        "id": message.id,
        "text": subject(message),
        "model": message.model,
        "at_s": message.at_s,
        "alerts": [_alert(alert, message.shown_features) for alert in message.alerts],
    }


def _alert(alert: Alert, most: int) -> dict[str, Any]:
    return alert.to_json() | {
        "top_features": [vars(effect) for effect in effects(alert, most)],
        "findings": notes(alert, most),
        "suggested_action": action(alert),
        "commands": commands(alert),
    }
