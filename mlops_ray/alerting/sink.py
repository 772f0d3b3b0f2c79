"""Where alerts go: the protocol, the log, and a list in memory."""

import logging
from typing import Protocol

from mlops_ray.alerting.alert import Alert

__all__ = ["LogSink", "MemorySink", "Sink"]

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.CRITICAL}


class Sink(Protocol):
    """A place that takes alerts, one at a time, from one thread."""

    @property
    def name(self) -> str:
        """Names the place in logs; holds no secret."""

    def send(self, alert: Alert) -> None:
        """Deliver one alert, or raise `AlertError`; may block."""


class LogSink:
    """Alerts as lines of a log."""

    name = "log"

    def __init__(self, logger: str = "mlops_ray.alerts") -> None:
        self._logger = logging.getLogger(logger)

    def send(self, alert: Alert) -> None:
        """Write one line, at the level of the severity."""
        about = f" ({', '.join(alert.features)})" if alert.features else ""
        self._logger.log(_LEVELS[alert.severity], "%s: %s: %s%s", alert.model, alert.kind, alert.message, about)


class MemorySink:
    """Alerts in a list, oldest first."""

    name = "memory"

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def send(self, alert: Alert) -> None:
        """Keep the alert."""
        self.alerts.append(alert)
