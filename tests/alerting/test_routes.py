"""From a spec to routes."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from mlops_ray import spec
from mlops_ray.alerting import (
    AlertmanagerSink,
    EmailSink,
    LogSink,
    PagerDutySink,
    Route,
    SlackSink,
    WebhookSink,
    routes_for,
)

SINKS: TypeAdapter[list[spec.AlertSink]] = TypeAdapter(list[spec.AlertSink])
EMAIL = {"type": "email", "host": "smtp.example.com", "sender": "ml@example.com"}


def routes(*entries: dict[str, Any]) -> list[Route]:
    return routes_for(SINKS.validate_python(list(entries)))


def test_each_entry_becomes_a_route_in_its_order() -> None:
    found = routes(
        {"type": "webhook", "url": "https://hooks.example.com/services/SECRET"},
        {"type": "log"},
        {"type": "slack", "url": "${SLACK_URL}"},
        {"type": "pagerduty", "routing_key": "${PD_KEY}"},
        {"type": "alertmanager", "url": "http://am:9093"},
    )
    assert [type(route.sink) for route in found] == [
        WebhookSink,
        LogSink,
        SlackSink,
        PagerDutySink,
        AlertmanagerSink,
    ]
    assert [route.name for route in found] == [
        "webhook https://hooks.example.com",
        "log",
        "slack SLACK_URL",
        "pagerduty https://events.pagerduty.com",
        "alertmanager http://am:9093",
    ]


def test_every_address_of_an_email_is_a_route_of_its_own() -> None:
    found = routes(EMAIL | {"to": ["a@example.com", "b@example.com"], "name": "ops"})
    assert [route.name for route in found] == ["ops a@example.com", "ops b@example.com"]
    assert all(isinstance(route.sink, EmailSink) for route in found)


def test_routes_of_one_name_are_numbered() -> None:
    found = routes(*[{"type": "webhook", "url": f"https://hooks.example.com/{n}"} for n in range(2)])
    assert [route.name for route in found] == [
        "webhook https://hooks.example.com",
        "webhook https://hooks.example.com 2",
    ]


@pytest.mark.parametrize(
    ("kind", "severity", "taken"),
    [("drift", "info", False), ("drift", "warning", True), ("drift", "critical", True), ("decay", "critical", False)],
)
def test_a_route_takes_what_is_severe_enough_and_of_its_kinds(kind: str, severity: str, taken: bool) -> None:
    (route,) = routes({"type": "log", "min_severity": "warning", "kinds": ["drift"]})
    assert route.takes(kind, severity) == taken


def test_no_entry_is_no_route() -> None:
    assert routes_for([]) == []
