"""Delivery without waiting."""

import threading
import time

import pytest

from mlops_ray.alerting import Alert, Dispatcher, MemorySink, WebhookSink
from mlops_ray.errors import AlertError
from tests.alerting.receiver import Receiver
from tests.alerting.samples import alert


class Closed:
    """A sink that blocks until it is opened."""

    name = "closed"

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.alerts: list[str] = []

    def send(self, alert: Alert) -> None:
        self.opened.wait(10)
        self.alerts.append(alert.id)


class Failing:
    """A sink that raises the given errors, one a call, and then takes alerts; it keeps the times of its calls."""

    name = "failing"

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.called_s: list[float] = []
        self.alerts: list[str] = []

    def send(self, alert: Alert) -> None:
        self.called_s.append(time.monotonic())
        if self.errors:
            raise self.errors.pop(0)
        self.alerts.append(alert.id)


def test_each_sink_gets_each_alert_in_order() -> None:
    sinks = [MemorySink(), MemorySink()]
    dispatcher = Dispatcher(sinks)
    assert all(dispatcher.submit(alert(id=str(n))) for n in range(50))
    assert dispatcher.close(10)
    assert [[a.id for a in sink.alerts] for sink in sinks] == [[str(n) for n in range(50)]] * 2


def test_without_sinks_every_alert_is_taken() -> None:
    dispatcher = Dispatcher([])
    assert dispatcher.submit(alert())
    assert dispatcher.close(1)


def test_submitting_never_waits_and_says_when_there_is_no_room() -> None:
    sink = Closed()
    dispatcher = Dispatcher([sink], capacity=3)
    started_s = time.monotonic()
    taken = [dispatcher.submit(alert(id=str(n))) for n in range(100)]
    assert time.monotonic() - started_s < 1
    assert sum(taken) in (3, 4)  # three wait, and one may be under way
    assert dispatcher.dropped == 100 - sum(taken)
    sink.opened.set()
    assert dispatcher.close(10)
    assert len(sink.alerts) == sum(taken)


def test_a_sink_that_hangs_delays_no_other() -> None:
    hanging, quick = Closed(), MemorySink()
    dispatcher = Dispatcher([hanging, quick])
    dispatcher.submit(alert())
    deadline_s = time.monotonic() + 5
    while not quick.alerts and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert len(quick.alerts) == 1
    hanging.opened.set()
    assert dispatcher.close(10)


def test_a_failed_delivery_is_tried_again_with_growing_delays() -> None:
    sink = Failing(*[AlertError("away")] * 3)
    dispatcher = Dispatcher([sink], first_delay_s=0.05)
    dispatcher.submit(alert())
    assert dispatcher.close(10)
    assert sink.alerts == ["alert-1"]
    delays_s = [b - a for a, b in zip(sink.called_s, sink.called_s[1:], strict=False)]
    assert all(found >= wanted for found, wanted in zip(delays_s, (0.05, 0.1, 0.2), strict=True))


def test_a_delivery_is_given_up_after_its_attempts_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    sink = Failing(*[AlertError(f"away {n}") for n in range(3)])
    dispatcher = Dispatcher([sink], attempts=3, first_delay_s=0.001)
    for id in ("a", "b"):
        dispatcher.submit(alert(id=id))
    assert not dispatcher.close(10)
    (failed,) = dispatcher.undelivered
    assert (failed.alert.id, failed.sink, failed.reason) == ("a", "failing", "AlertError: away 2")
    assert sink.alerts == ["b"]
    assert "alert a was not delivered to failing: AlertError: away 2" in caplog.text


def test_a_sink_with_a_bug_does_not_stop_later_alerts() -> None:
    sink = Failing(ZeroDivisionError("bug"))
    dispatcher = Dispatcher([sink], attempts=1)
    for id in ("a", "b"):
        dispatcher.submit(alert(id=id))
    dispatcher.close(10)
    assert sink.alerts == ["b"]
    assert dispatcher.undelivered[0].reason == "ZeroDivisionError: bug"


def test_closing_waits_no_longer_than_asked_and_gives_up_the_rest() -> None:
    sink = Failing(*[AlertError("away")] * 100)
    dispatcher = Dispatcher([sink], first_delay_s=30)
    for id in ("a", "b"):
        dispatcher.submit(alert(id=id))
    started_s = time.monotonic()
    assert not dispatcher.close(0.2)
    assert time.monotonic() - started_s < 2
    assert [failed.alert.id for failed in dispatcher.undelivered] == ["a", "b"]


def test_closing_does_not_call_an_alert_delivered_that_is_under_way() -> None:
    sink = Closed()
    dispatcher = Dispatcher([sink])
    dispatcher.submit(alert())
    assert not dispatcher.close(0.1)
    sink.opened.set()


def test_a_closed_dispatcher_takes_nothing() -> None:
    dispatcher = Dispatcher([MemorySink()])
    assert dispatcher.close(1)
    assert not dispatcher.submit(alert())
    assert dispatcher.dropped == 1


def test_a_webhook_that_is_down_for_a_while_gets_its_alert(hook: Receiver) -> None:
    hook.statuses = [503, 500]
    dispatcher = Dispatcher([WebhookSink(hook.url)], first_delay_s=0.01)
    dispatcher.submit(alert())
    assert dispatcher.close(10)
    assert [body["alert"]["id"] for body in hook.bodies] == ["alert-1"] * 3
