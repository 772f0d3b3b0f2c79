"""From the `alerts` section of a spec to routes: a sink, and which alerts it takes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mlops_ray import spec
from mlops_ray.alerting.alert import Severity, rank
from mlops_ray.alerting.alertmanager import AlertmanagerSink
from mlops_ray.alerting.mail import EmailSink
from mlops_ray.alerting.pagerduty import PagerDutySink
from mlops_ray.alerting.sink import LogSink, Sink
from mlops_ray.alerting.slack import SlackSink
from mlops_ray.alerting.webhook import WebhookSink

__all__ = ["Route", "routes_for"]


@dataclass(frozen=True)
class Route:
    """Where alerts go, and which; the name is unique in a model and holds no secret."""

    name: str
    sink: Sink
    min_severity: Severity = "info"
    kinds: tuple[str, ...] | None = None
    resolved: bool = False

    def takes(self, kind: str, severity: str) -> bool:
        """Whether it wants such an alert."""
        return rank(severity) >= rank(self.min_severity) and (self.kinds is None or kind in self.kinds)


def routes_for(alerts: Sequence[spec.AlertSink]) -> list[Route]:
    """The routes of each entry, in its order: one for every address of an e-mail, else one.

    A name that is there already gets a number.
    """
    seen: Counter[str] = Counter()
    routes = []
    for entry in alerts:
        sinks = _sinks(entry)
        for sink in sinks:
            name = entry.name or sink.name
            if entry.name is not None and len(sinks) > 1:
                name = f"{entry.name} {sink.name.removeprefix('email ')}"
            seen[name] += 1
            unique = name if seen[name] == 1 else f"{name} {seen[name]}"
            routes.append(Route(unique, sink, entry.min_severity, entry.kinds, entry.resolved))
    return routes


def _sinks(entry: spec.AlertSink) -> list[Sink]:
    match entry:
        case spec.WebhookSink():
            return [WebhookSink(entry.url, entry.timeout_s)]
        case spec.SlackSink():
            return [SlackSink(entry.url, entry.timeout_s)]
        case spec.PagerDutySink():
            return [PagerDutySink(entry.routing_key, entry.url, entry.timeout_s)]
        case spec.AlertmanagerSink():
            return [AlertmanagerSink(entry.url, entry.repeat_s, entry.timeout_s)]
        case spec.EmailSink():
            return [_email(entry, address) for address in entry.to]
        case _:
            return [LogSink()]


def _email(entry: spec.EmailSink, address: str) -> EmailSink:
    return EmailSink(
        address,
        to=entry.to,
        sender=entry.sender,
        host=entry.host,
        port=entry.port,
        security=entry.security,
        username=entry.username,
        password=entry.password,
        timeout_s=entry.timeout_s,
    )
