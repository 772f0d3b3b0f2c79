"""Delivery over real networks: receivers that are away, that hang, processes that are killed, two at once."""

import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_ray.alerting import (
    AlertmanagerSink,
    EmailSink,
    MemorySink,
    Message,
    PagerDutySink,
    Route,
    SlackSink,
    WebhookSink,
)
from mlops_ray.errors import AlertError
from mlops_ray.monitor.alert_book import AlertBook
from mlops_ray.monitor.alert_outbox import AlertOutbox
from mlops_ray.monitor.courier import Courier
from mlops_ray.monitor.finding import Finding
from mlops_ray.spec import AlertPolicy
from mlops_ray.store import Store
from tests.alerting.receiver import closed_port, receiver, smtp_server
from tests.monitor.killed_courier import deliver, live

QUICK: dict[str, Any] = {"group_s": 0, "cooldown_s": 0, "retry_first_s": 0.05, "retry_max_s": 1}


class Slow(MemorySink):
    """Takes its time, and says when it began."""

    def __init__(self, delay_s: float) -> None:
        super().__init__()
        self.delay_s = delay_s
        self.began = threading.Event()

    def send(self, message: Message) -> None:
        self.began.set()
        time.sleep(self.delay_s)
        super().send(message)


class Failing(MemorySink):
    """Raises these errors, one a call, and then takes messages."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)
        self.ids: list[str] = []

    def send(self, message: Message) -> None:
        self.ids.append(message.id)
        if self.errors:
            raise self.errors.pop(0)
        super().send(message)


class Desk:
    """A store with an alert book, and couriers for it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.couriers: list[Courier] = []

    def open(self, *routes: Route, lease_s: float = 5.0, **policy: float) -> AlertBook:
        """A book, and a courier that sends what it writes."""
        outbox = AlertOutbox("toy", routes, AlertPolicy(**QUICK | policy))
        self.couriers.append(Courier(self.store, outbox, lease_s=lease_s))
        return AlertBook("toy", self.store, outbox)

    def until(self, condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
        """Wait for it."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, self.states()
            time.sleep(0.02)

    def states(self) -> Counter[str]:
        """How many deliveries are in which state."""
        return Counter(d.state for d in self.store.deliveries("toy"))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk without alerts."""
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    store.create()
    desk = Desk(store)
    yield desk
    for courier in desk.couriers:
        courier.close(0)
    store.close()


def drift(version: int) -> Finding:
    return Finding("drift", "warning", version, f"a of version {version} drifted", ("a",))


def memory(sink: MemorySink, name: str = "memory") -> Route:
    return Route(name, sink, resolved=True)


# -- a receiver that is away -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "away_s",
    [
        pytest.param(2.0, id="for two seconds"),
        pytest.param(60.0, id="for a minute", marks=pytest.mark.slow),
    ],
)
def test_with_the_receivers_down_nothing_is_lost_and_nothing_doubled(desk: Desk, away_s: float) -> None:
    http, smtp = closed_port(), closed_port()
    email = EmailSink("o@b", to=["o@b"], sender="m@b", host="127.0.0.1", port=smtp, security="none")
    routes = [
        Route("hook", WebhookSink(f"http://127.0.0.1:{http}/hook"), resolved=True),
        Route("email", email, resolved=True),
    ]
    book = desk.open(*routes, retry_max_s=5)
    began_s, version = time.monotonic(), 0
    while time.monotonic() - began_s < away_s:
        version += 1
        book.report(drift(version), time.time())
        if version % 3 == 0:
            book.resolve("drift", version, "gone", time.time())
        time.sleep(away_s / 20)
    assert desk.states()["sent"] == 0
    with receiver(http) as hook, smtp_server(smtp) as box:
        version += 1
        book.report(drift(version), time.time())
        desk.until(lambda: set(desk.states()) == {"sent"})
    told = Counter((alert["version"], alert["event"]) for body in hook.bodies for alert in body["alerts"])
    expected = {(v, "raised") for v in range(1, version + 1)} | {(v, "resolved") for v in range(3, version, 3)}
    assert set(told) == expected, "none is lost"
    assert set(told.values()) == {1}, "none is doubled"
    assert max(Counter(hook.taken).values()) == 1
    assert max(Counter(email["Message-ID"] for email in box.emails).values()) == 1
    texts = [
        part.get_content() for email in box.emails for part in email.walk() if part.get_content_type() == "text/plain"
    ]
    said = Counter(line for text in texts for line in text.splitlines())
    assert [said[f"[warning] toy: a of version {v} drifted"] for v in range(1, version + 1)] == [1] * version


def test_a_receiver_that_answers_503_for_a_while_takes_each_message_once(desk: Desk) -> None:
    with receiver() as hook:
        hook.statuses = [503, 500, 429]
        book = desk.open(Route("hook", WebhookSink(hook.url)))
        book.report(drift(1), time.time())
        desk.until(lambda: desk.states()["sent"] == 1)
        assert len(hook.taken) == 1
        assert {body["id"] for body in hook.bodies} == set(hook.taken), "every attempt has the same id"
        (row,) = desk.store.deliveries("toy")
        assert (row.attempts, row.reason) == (4, "")
        assert desk.store.events(kind="alert.delivered")[0].payload["attempts"] == 4


def test_a_receiver_that_took_it_and_did_not_say_so_gets_it_again_under_the_same_id(desk: Desk) -> None:
    with receiver() as hook:
        hook.delay_s = 0.6
        desk.open(Route("hook", WebhookSink(hook.url, timeout_s=0.2))).report(drift(1), time.time())
        desk.until(lambda: len(hook.taken) >= 1)
        hook.delay_s = 0.0
        desk.until(lambda: desk.states()["sent"] == 1)
        assert len(set(hook.taken)) == 1


def test_a_route_that_hangs_delays_no_other(desk: Desk) -> None:
    slow, quick = Slow(30.0), MemorySink()
    desk.open(memory(slow, "slow"), memory(quick, "quick")).report(drift(1), time.time())
    desk.until(lambda: quick.alerts)
    assert slow.alerts == []


def test_an_incident_is_never_resolved_before_it_was_opened(desk: Desk) -> None:
    sink = Failing(*[AlertError("away")] * 4)
    sink.takes_groups = False
    book = desk.open(memory(sink))
    book.report(drift(1), time.time())
    book.resolve("drift", 1, "gone", time.time())
    desk.until(lambda: desk.states()["sent"] == 2)
    assert [alert.event for alert in sink.alerts] == ["raised", "resolved"]


def test_an_alert_manager_hears_of_an_alert_as_long_as_it_lasts(desk: Desk) -> None:
    with receiver() as hook:
        url = hook.url.removesuffix("/services/T000/SECRET")
        sink = AlertmanagerSink(url, repeat_s=0.3)
        book = desk.open(Route("am", sink, resolved=True))
        book.report(drift(1), time.time())
        desk.until(lambda: len(hook.bodies) >= 4)
        book.resolve("drift", 1, "gone", time.time())
        desk.until(lambda: desk.states()["sent"] == 2)
        count, last = len(hook.bodies), hook.bodies[-1][0]
        assert last["endsAt"] < hook.bodies[-2][0]["endsAt"]
        time.sleep(1.0)
        assert len(hook.bodies) == count, "what is over is not repeated"
        assert [e.kind for e in desk.store.events() if e.kind == "alert.delivered"] == ["alert.delivered"] * 2
        assert {d.event: d.state for d in desk.store.deliveries("toy")}["repeated"] == "dropped"


# -- what is given up --------------------------------------------------------------------------------------------------


def test_a_delivery_that_fails_for_too_long_is_dead_and_in_the_audit_chain(desk: Desk) -> None:
    sink = Failing(*[AlertError("away")] * 1000)
    desk.open(memory(sink), give_up_after_s=2).report(drift(1), time.time())
    desk.until(lambda: desk.states()["dead"] == 1)
    (row,), (event,) = desk.store.deliveries("toy"), desk.store.events(kind="alert.undelivered")
    assert row.reason == "away"
    assert event.payload == {"route": "memory", "alerts": [row.alert], "reason": "away"}
    assert len(sink.ids) == row.attempts > 1


def test_what_a_receiver_will_never_take_is_dead_at_once_and_holds_up_nothing(desk: Desk) -> None:
    sink = Failing(AlertError("400 bad", True))
    sink.takes_groups = False
    book = desk.open(memory(sink))
    for version in (1, 2):
        book.report(drift(version), time.time())
    desk.until(lambda: desk.states() == {"dead": 1, "sent": 1})
    assert len(sink.ids) == 2


class Picky(MemorySink):
    """Takes no message with that version in it."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = version

    def send(self, message: Message) -> None:
        if any(alert.version == self.version for alert in message.alerts):
            raise AlertError("413 too large", True)
        super().send(message)


def test_an_alert_that_a_receiver_never_takes_does_not_take_its_company_down(desk: Desk) -> None:
    sink = Picky(2)
    book = desk.open(memory(sink), group_s=1)
    for version in (1, 2, 3):
        book.report(drift(version), time.time())
    desk.until(lambda: desk.states() == {"dead": 1, "sent": 2})
    assert [alert.version for alert in sink.alerts] == [1, 3]
    assert len({message.id for message in sink.messages}) == 2


def test_a_sink_with_a_bug_is_tried_again_and_its_text_stays_out_of_the_store(desk: Desk) -> None:
    sink = Failing(ZeroDivisionError("SECRET"))
    desk.open(memory(sink), retry_first_s=0.5).report(drift(1), time.time())
    desk.until(lambda: any(d.reason for d in desk.store.deliveries("toy")))
    assert desk.store.deliveries("toy")[0].reason == "memory: ZeroDivisionError in the sink"
    desk.until(lambda: desk.states()["sent"] == 1)


def test_a_delivery_for_a_sink_that_the_spec_has_no_more_is_given_up_in_the_end(desk: Desk) -> None:
    gone = Failing(*[AlertError("away")] * 1000)
    desk.open(memory(gone, "gone"), retry_first_s=0.5).report(drift(1), time.time())
    desk.until(lambda: gone.ids)
    desk.couriers[0].close(0)
    desk.open(memory(MemorySink()), give_up_after_s=1)
    desk.until(lambda: desk.states()["dead"] == 1)
    assert desk.store.deliveries("toy")[0].reason == "the spec has no sink of that name"


# -- processes ---------------------------------------------------------------------------------------------------------


def test_two_couriers_at_once_send_each_message_once(desk: Desk) -> None:
    sink = Slow(0.005)
    sink.takes_groups = False
    books = [desk.open(memory(sink)) for _ in range(3)]
    for version in range(30):
        books[version % 3].report(drift(version), time.time())
    desk.until(lambda: desk.states() == {"sent": 30})
    assert sorted(alert.version or 0 for alert in sink.alerts) == list(range(30))


def test_a_send_that_takes_longer_than_the_lease_stays_with_its_courier(desk: Desk) -> None:
    sink = Slow(3.0)
    book = desk.open(memory(sink), lease_s=0.8)
    desk.open(memory(sink), lease_s=0.8)
    book.report(drift(1), time.time())
    desk.until(lambda: desk.states() == {"sent": 1})
    assert len(sink.alerts) == 1


def test_what_a_former_process_left_is_sent_by_the_next(desk: Desk) -> None:
    away, sink = Failing(*[AlertError("away")] * 1000), MemorySink()
    desk.open(memory(away), retry_max_s=0.5).report(drift(1), time.time())
    desk.until(lambda: away.ids)
    desk.couriers[0].close(0)
    desk.open(memory(sink))
    desk.until(lambda: desk.states() == {"sent": 1})
    assert [message.id for message in sink.messages] == away.ids[:1]


def test_closing_sends_at_once_what_waits_for_company_and_leaves_what_is_held_back(desk: Desk) -> None:
    sink = MemorySink()
    book = desk.open(memory(sink), group_s=3600, cooldown_s=7200)
    for finding in (drift(1), drift(2)):
        book.report(finding, time.time())
    assert desk.couriers[0].close(20)
    assert [len(message.alerts) for message in sink.messages] == [2]


def test_closing_does_not_call_done_what_is_under_way(desk: Desk) -> None:
    sink = Slow(2.0)
    desk.open(memory(sink)).report(drift(1), time.time())
    assert sink.began.wait(20)
    assert not desk.couriers[0].close(0.1)
    desk.until(lambda: desk.states() == {"sent": 1})
    assert len(sink.alerts) == 1


def _process(target: Callable[..., None], *arguments: Any) -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.monitor.killed_courier"])
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def test_two_processes_at_once_send_each_message_once(desk: Desk) -> None:
    with receiver() as hook:
        outbox = AlertOutbox("toy", [Route("hook", WebhookSink(hook.url))], AlertPolicy(**QUICK))
        book = AlertBook("toy", desk.store, outbox)
        processes = [_process(deliver, desk.store.url, hook.url, 20) for _ in range(2)]
        for version in range(20):
            book.report(drift(version), time.time())
            time.sleep(0.05)
        for process in processes:
            process.join(120)
            assert process.exitcode == 0
        told = Counter(alert["version"] for body in hook.bodies for alert in body["alerts"])
        assert told == Counter(range(20))


def test_secrets_of_the_environment_are_neither_in_the_store_nor_in_the_log(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "c0ffee" * 6
    monkeypatch.setenv("SLACK_URL", f"http://127.0.0.1:{closed_port()}/{secret}")
    monkeypatch.setenv("PD_KEY", secret)
    with receiver() as hook:
        hook.statuses = [500] * 1000
        sinks = (SlackSink("${SLACK_URL}"), PagerDutySink("${PD_KEY}", hook.url))
        desk.open(*(Route(sink.name, sink) for sink in sinks), give_up_after_s=1).report(drift(1), time.time())
        desk.until(lambda: desk.states() == {"dead": 2})
        assert hook.bodies[0]["routing_key"] == secret
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("store.db*"))
    assert b"SLACK_URL" in kept
    assert secret.encode() not in kept
    assert secret not in caplog.text


def _lives(desk: Desk, hook: str, kill_at: int) -> bool:
    """Let a process live; whether it was killed."""
    process = _process(live, desk.store.url, hook, kill_at)
    process.join(120)
    assert process.exitcode in (0, -9)
    return process.exitcode == -9


@pytest.mark.parametrize(
    "step", [pytest.param(97, id="some lines"), pytest.param(29, id="many lines", marks=pytest.mark.slow)]
)
def test_killed_at_any_line_nothing_is_lost_and_repeats_have_the_same_id(desk: Desk, step: int, tmp_path: Path) -> None:
    """Each life is killed later than the one before, until one comes to its end; then the next alert."""
    killed = 0
    for first in range(1, step, max(step // 4, 1)):
        kill_at = first
        with receiver() as hook:
            while _lives(desk, hook.url, kill_at):
                killed += 1
                kill_at += step
            told = {(alert["id"], alert["event"]) for body in hook.bodies for alert in body["alerts"]}
            assert sorted(event for _, event in told) == ["raised", "resolved"]
            assert len({body["id"] for body in hook.bodies}) == len(told), "a repeat has the id of the first"
            events = [alert["event"] for body in hook.bodies for alert in body["alerts"]]
            assert events == sorted(events), "raised before resolved"
        assert desk.store.verify().verified
        kinds = Counter(e.kind for e in desk.store.events())
        assert kinds == {"alert.raised": 1, "alert.delivered": 2, "alert.resolved": 1}
        desk.store.close()
        desk.store = Store(f"sqlite:///{tmp_path / f'after-{first}.db'}")
        desk.store.create()
    assert killed > 3
