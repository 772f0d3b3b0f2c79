"""From the `alerts` section of a spec to sinks."""

from collections.abc import Sequence

from mlops_ray import spec
from mlops_ray.alerting.sink import LogSink, Sink
from mlops_ray.alerting.webhook import WebhookSink

__all__ = ["sinks_for"]


def sinks_for(alerts: Sequence[spec.AlertSink]) -> list[Sink]:
    """One sink for each entry, in its order."""
    return [_sink(alert) for alert in alerts]


def _sink(alert: spec.AlertSink) -> Sink:
    if isinstance(alert, spec.WebhookSink):
        return WebhookSink(alert.url, alert.timeout_s)
    return LogSink()
