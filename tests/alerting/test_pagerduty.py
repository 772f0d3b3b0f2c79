"""Alerts as PagerDuty events, held against the documented form of the Events API v2."""

from typing import Any

import jsonschema
import pytest

from mlops_ray.alerting import PagerDutySink
from mlops_ray.alerting.pagerduty import pagerduty_event
from mlops_ray.errors import AlertError
from tests.alerting.receiver import Receiver
from tests.alerting.samples import BROKEN, DECAYED, alert, message

# developer.pagerduty.com/docs/send-alert-event: fields, their limits, and which of them are required.
TRIGGER: dict[str, Any] = {
    "type": "object",
    "required": ["routing_key", "event_action", "payload"],
    "additionalProperties": False,
    "properties": {
        "routing_key": {"type": "string", "minLength": 32, "maxLength": 32},
        "event_action": {"const": "trigger"},
        "dedup_key": {"type": "string", "maxLength": 255},
        "client": {"type": "string"},
        "payload": {
            "type": "object",
            "required": ["summary", "source", "severity"],
            "additionalProperties": False,
            "properties": {
                "summary": {"type": "string", "minLength": 1, "maxLength": 1024},
                "source": {"type": "string", "minLength": 1},
                "severity": {"enum": ["critical", "warning", "error", "info"]},
                "timestamp": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
                "component": {"type": "string"},
                "class": {"type": "string"},
                "custom_details": {"type": "object"},
            },
        },
    },
}
KEY = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("severity", ["info", "warning", "critical"])
@pytest.mark.parametrize("event", ["raised", "updated", "escalated"])
def test_news_is_a_trigger_of_the_documented_form(severity: str, event: str) -> None:
    body = pagerduty_event(alert(severity=severity, event=event, message="m" * 3000), KEY, 5)
    jsonschema.validate(body, TRIGGER)
    assert body["dedup_key"] == "churn-drift-v3-1"
    assert body["payload"]["custom_details"]["features"][0] == "tenure: KS 0.312, alarm from 0.1"


def test_details_say_what_is_broken_and_where_answers_are_wrong() -> None:
    broken, decayed = (
        pagerduty_event(alert(**fields), KEY, 5)["payload"]["custom_details"] for fields in (BROKEN, DECAYED)
    )
    assert broken["features"] == ["plan"]
    assert broken["findings"] == ["plan: every value is <null>"]
    assert list(broken["samples"][0].items())[2:4] == [("answer", "0.25"), ("plan", "missing")]
    assert decayed["features"] == ["plan: errors above those of other rows 0.375"]
    assert decayed["findings"] == [
        "worse where plan = pro and tenure < 3: 50.0% wrong of 80 rows, 37.5% more than elsewhere"
    ]


def test_what_is_over_resolves_the_same_incident() -> None:
    body = pagerduty_event(alert(event="resolved"), KEY, 5)
    assert body == {"routing_key": KEY, "event_action": "resolve", "dedup_key": "churn-drift-v3-1"}


def test_an_event_stays_below_the_limit_of_512_kb() -> None:
    samples = [{f"c{i}": "x" * 80 for i in range(12)} for _ in range(500)]
    details = pagerduty_event(alert(evidence={"samples": samples}), KEY, 5)["payload"]["custom_details"]
    assert details["samples"] == []
    assert details["suggested_action"]


def test_the_key_of_the_environment_is_sent_and_never_shown(hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = PagerDutySink("${PD_KEY}", hook.url)
    with pytest.raises(AlertError, match="PD_KEY to be set"):
        sink.send(message())
    monkeypatch.setenv("PD_KEY", KEY)
    hook.statuses = [429]
    with pytest.raises(AlertError) as caught:
        sink.send(message())
    assert KEY not in str(caught.value) + repr(caught.value) + sink.name
    sink.send(message())
    assert [body["routing_key"] for body in hook.bodies] == [KEY, KEY]
