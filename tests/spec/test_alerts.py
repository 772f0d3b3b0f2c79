"""The sections `alerts` and `alerting`."""

from typing import Any, get_args

import pytest

from mlops_ray.monitor.finding import FindingKind
from mlops_ray.spec import AlertKind, parse_spec
from tests.spec.samples import changed, refusal

EMAIL = {"type": "email", "host": "smtp.example.com", "sender": "ml@example.com", "to": ["ops@example.com"]}


def test_a_route_can_be_for_every_kind_that_a_judge_finds() -> None:
    assert get_args(AlertKind) == get_args(FindingKind)


def test_every_sink_is_taken_and_comes_back_from_json() -> None:
    sinks: list[dict[str, Any]] = [
        {"type": "log", "kinds": ["drift"], "min_severity": "critical", "resolved": False},
        {"type": "webhook", "url": "${HOOK}", "name": "hook"},
        {"type": "slack", "url": "${SLACK_URL}"},
        {"type": "pagerduty", "routing_key": "${PD_KEY}"},
        EMAIL | {"username": "ml", "password": "${SMTP_PASSWORD}"},
        {"type": "alertmanager", "url": "http://am:9093"},
    ]
    spec = parse_spec(changed("alerts", sinks))
    assert type(spec).model_validate_json(spec.model_dump_json()) == spec
    assert [sink.type for sink in spec.alerts] == [sink["type"] for sink in sinks]


@pytest.mark.parametrize(
    ("sink", "where"),
    [
        ({"type": "slack", "url": "https://hooks.slack.com/services/SECRET"}, "url"),
        ({"type": "pagerduty", "routing_key": "SECRET"}, "routing_key"),
        (EMAIL | {"username": "ml", "password": "SECRET"}, "password"),
    ],
)
def test_a_secret_that_is_written_out_is_refused_and_not_shown(sink: dict[str, Any], where: str) -> None:
    (line,) = refusal(changed("alerts", [sink]))
    assert line.startswith(f"alerts[0].{where}: expected ${{NAME}}, the environment variable that holds it")
    assert "SECRET" not in line


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("alerts", [EMAIL | {"username": "ml"}], "username and password go together"),
        ("alerts", [EMAIL | {"username": "m", "password": "${P}", "security": "none"}], "use starttls or tls"),
        ("alerts", [{"type": "log", "name": "a"}] * 2, "two sinks of the name 'a'"),
        ("alerting", {"keep_s": 60}, "keep_s (60) must not be below cooldown_s (3600)"),
        ("alerting", {"retry_first_s": 400}, "retry_max_s (300) must not be below retry_first_s (400)"),
    ],
)
def test_what_does_not_fit_together_is_refused(path: str, value: Any, sentence: str) -> None:
    (line,) = refusal(changed(path, value))
    assert sentence in line
