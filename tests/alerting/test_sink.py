"""Alerts in the log and in memory."""

import logging

import pytest

from mlops_ray.alerting import LogSink, MemorySink, Sink
from tests.alerting.samples import alert, message


@pytest.mark.parametrize(
    ("severity", "level"), [("info", logging.INFO), ("warning", logging.WARNING), ("critical", logging.CRITICAL)]
)
def test_an_alert_is_logged_at_the_level_of_its_severity(
    caplog: pytest.LogCaptureFixture, severity: str, level: int
) -> None:
    with caplog.at_level(logging.INFO):
        LogSink().send(message(alert(severity=severity)))
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("mlops_ray.alerts", level)
    assert record.getMessage() == "churn: drift: two features drifted (tenure, plan)"


def test_an_alert_without_features_is_logged_without_brackets(caplog: pytest.LogCaptureFixture) -> None:
    LogSink("elsewhere").send(message(alert(features=(), message="100% of %s")))
    assert caplog.records[0].getMessage() == "churn: drift: 100% of %s"
    assert caplog.records[0].name == "elsewhere"


def test_what_is_over_is_information(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        LogSink().send(message(alert(severity="critical", event="resolved", features=())))
    assert caplog.records[0].levelno == logging.INFO
    assert caplog.records[0].getMessage() == "churn: drift is over: two features drifted"


def test_memory_keeps_alerts_in_order() -> None:
    sink = MemorySink()
    for id in ("a", "b"):
        sink.send(message(alert(id=id)))
    assert [a.id for a in sink.alerts] == ["a", "b"]


def test_the_sinks_fit_the_protocol() -> None:
    sinks: list[Sink] = [LogSink(), MemorySink()]
    assert [sink.name for sink in sinks] == ["log", "memory"]
