"""Alerts to people: the sinks that take them, and a dispatcher that never makes anybody wait."""

from mlops_ray.alerting.alert import Alert, Severity
from mlops_ray.alerting.dispatcher import Dispatcher, Undelivered
from mlops_ray.alerting.sink import LogSink, MemorySink, Sink
from mlops_ray.alerting.sinks import sinks_for
from mlops_ray.alerting.webhook import WebhookSink

__all__ = [
    "Alert",
    "Dispatcher",
    "LogSink",
    "MemorySink",
    "Severity",
    "Sink",
    "Undelivered",
    "WebhookSink",
    "sinks_for",
]
