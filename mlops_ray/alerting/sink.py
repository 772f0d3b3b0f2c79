"""Where alerts go: the protocol, the log, and a list in memory."""

import logging
from typing import Protocol

from mlops_ray.alerting.alert import Alert, Message

__all__ = ["LogSink", "MemorySink", "Sink"]

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.CRITICAL}


class Sink(Protocol):
    """A place that takes messages, one at a time."""

    @property
    def name(self) -> str:
        """Names the place in logs and in the store; holds no secret."""

    @property
    def takes_groups(self) -> bool:
        """Whether a message may hold several alerts."""

    @property
    def repeat_s(self) -> float | None:
        """After how long it wants to hear again of an alert that lasts; None: never."""

    def send(self, message: Message) -> None:
        """Deliver one message whole, or raise `AlertError`; may block."""


class LogSink:
    """Alerts as lines of a log."""

    name = "log"
    takes_groups = True
    repeat_s: float | None = None

    def __init__(self, logger: str = "mlops_ray.alerts") -> None:
        self._logger = logging.getLogger(logger)

    def send(self, message: Message) -> None:
        """Write one line for each alert, at the level of the severity; what is over is information."""
        for alert in message.alerts:
            about = f" ({', '.join(alert.features)})" if alert.features else ""
            level = logging.INFO if alert.event == "resolved" else _LEVELS[alert.severity]
            kind = f"{alert.kind} is over" if alert.event == "resolved" else alert.kind
            self._logger.log(level, "%s: %s: %s%s", alert.model, kind, alert.message, about)


class MemorySink:
    """Messages in a list, oldest first."""

    name = "memory"
    takes_groups = True
    repeat_s: float | None = None

    def __init__(self) -> None:
        self.messages: list[Message] = []

    @property
    def alerts(self) -> list[Alert]:
        """The alerts of all messages."""
        return [alert for message in self.messages for alert in message.alerts]

    def send(self, message: Message) -> None:
        """Keep the message."""
        self.messages.append(message)
