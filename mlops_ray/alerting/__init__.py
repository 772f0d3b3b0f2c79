"""Alerts to people: what is said, and the sinks that take it. Knows neither the store nor when to send."""

from mlops_ray.alerting.alert import Alert, AlertEvent, Message, Severity, rank
from mlops_ray.alerting.alertmanager import AlertmanagerSink
from mlops_ray.alerting.mail import EmailSink
from mlops_ray.alerting.mail_content import text_of
from mlops_ray.alerting.pagerduty import PagerDutySink
from mlops_ray.alerting.routes import Route, routes_for
from mlops_ray.alerting.sink import LogSink, MemorySink, Sink
from mlops_ray.alerting.slack import SlackSink
from mlops_ray.alerting.webhook import WebhookSink

__all__ = [
    "Alert",
    "AlertEvent",
    "AlertmanagerSink",
    "EmailSink",
    "LogSink",
    "MemorySink",
    "Message",
    "PagerDutySink",
    "Route",
    "Severity",
    "Sink",
    "SlackSink",
    "WebhookSink",
    "rank",
    "routes_for",
    "text_of",
]
