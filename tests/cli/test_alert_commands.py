"""`alerts`: shown, silenced, and delivered again; against a store that a monitor wrote."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_ray.alerting import Route, WebhookSink
from mlops_ray.monitor.alert_book import AlertBook
from mlops_ray.monitor.alert_outbox import AlertOutbox
from mlops_ray.monitor.courier import Courier
from mlops_ray.monitor.finding import Finding
from mlops_ray.spec import AlertPolicy
from mlops_ray.store import Event, ModelRecord, Store
from tests.alerting.receiver import Receiver, receiver
from tests.alerting.samples import EVIDENCE
from tests.cli.command import Done, mlops_ray

POLICY = AlertPolicy(group_s=0, cooldown_s=0, retry_first_s=0.05, retry_max_s=0.1, give_up_after_s=0.5)


class Home:
    """A workspace with a model and a route to a real receiver."""

    def __init__(self, folder: Path, hook: Receiver) -> None:
        self.folder = folder
        self.store = Store(f"sqlite:///{folder / 'home' / 'store.db'}")
        self.store.create()
        with self.store.change(Event("model.registered", "toy", {}, "test", 0.0)) as change:
            change.put_model(ModelRecord("toy", "{}", 0.0))
        outbox = AlertOutbox("toy", [Route("hook", WebhookSink(hook.url), resolved=True)], POLICY)
        self.book = AlertBook("toy", self.store, outbox)
        self.courier = Courier(self.store, outbox, lease_s=2)

    def run(self, *arguments: str, as_json: bool = True) -> Done:
        return mlops_ray("alerts", *arguments, cwd=self.folder, home=self.folder / "home", as_json=as_json)

    def drift(self) -> str:
        """Raise an alert; its id."""
        self.book.report(Finding("drift", "warning", 1, "a drifted", ("tenure",), EVIDENCE), time.time())
        return self.store.alerts("toy")[-1].id

    def until(self, state: str) -> None:
        """Wait for every delivery to be in that state."""
        deadline_s = time.monotonic() + 60
        while {d.state for d in self.store.deliveries("toy")} != {state}:
            assert time.monotonic() < deadline_s, self.store.deliveries("toy")
            time.sleep(0.05)


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A running HTTP server."""
    with receiver() as state:
        yield state


@pytest.fixture
def home(tmp_path: Path, hook: Receiver) -> Iterator[Home]:
    """A home without alerts."""
    home = Home(tmp_path, hook)
    yield home
    home.courier.close(0)
    home.store.close()


def test_an_alert_is_listed_and_shown_with_what_to_do_and_who_was_told(home: Home) -> None:
    assert home.run("list", as_json=False).out == "no open alerts\n"
    id = home.drift()
    home.until("sent")
    assert [alert["id"] for alert in home.run("list", "toy").answer["alerts"]] == [id]
    shown = home.run("show", id, as_json=False).out
    for part in ("tenure: KS 0.312", "plan=pro", "What to do: See", "basic |####", f"{id}/1/hook  raised, sent"):
        assert part in shown
    assert home.run("show", id).answer["deliveries"][0]["state"] == "sent"
    home.book.resolve("drift", 1, "gone", time.time())
    assert home.run("list").answer["alerts"] == []
    assert len(home.run("list", "--resolved").answer["alerts"]) == 1
    assert "'nothing'" in home.run("show", "nothing").error


def test_a_silence_holds_an_alert_back_until_it_is_ended(home: Home, hook: Receiver) -> None:
    silence = home.run("silence", "toy", "--kind", "drift", "--for", "2h", "--reason", "works").answer
    home.drift()
    assert "held back by silence" in home.run("deliveries", as_json=False).out
    (listed,) = home.run("silences").answer["silences"]
    assert (listed["id"], listed["reason"], listed["kind"]) == (silence["id"], "works", "drift")
    assert listed["until_s"] - listed["from_s"] == pytest.approx(7200)
    assert hook.bodies == []
    home.run("unsilence", silence["id"])
    home.until("sent")
    assert home.run("silences", as_json=False).out == "no silences\n"
    assert len(home.run("silences", "--ended").answer["silences"]) == 1
    kinds = [event.kind for event in home.store.events(subject=silence["id"])]
    assert kinds == ["alerts.silenced", "alerts.unsilenced"]


def test_what_was_given_up_is_listed_and_delivered_when_somebody_asks(home: Home, hook: Receiver) -> None:
    hook.statuses = [503] * 1000
    home.drift()
    home.until("dead")
    (dead,) = home.run("deliveries", "--dead").answer["deliveries"]
    assert "503" in dead["reason"]
    hook.statuses = []
    assert home.run("redeliver", dead["id"]).answer == {"redelivered": [dead["id"]], "dropped": []}
    home.until("sent")
    assert {body["id"] for body in hook.bodies} == {dead["message"]}, "under the same id"
    assert "which is sent" in home.run("redeliver", dead["id"]).error
    assert home.run("redeliver").answer == {"redelivered": [], "dropped": []}
    assert len(home.store.events(kind="alerts.redelivered")) == 1
    assert home.store.verify().verified


def test_what_is_known_to_be_over_is_not_told_again(home: Home, hook: Receiver) -> None:
    hook.statuses = [503] * 1000
    home.drift()
    home.until("dead")
    hook.statuses = []
    home.book.resolve("drift", 1, "gone", time.time())
    deadline_s = time.monotonic() + 60
    while not home.store.deliveries("toy", "sent"):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    answer = home.run("redeliver", "--model", "toy").answer
    assert (answer["redelivered"], len(answer["dropped"])) == ([], 1)
    assert [d.state for d in home.store.deliveries("toy")] == ["dropped", "sent"]


def test_a_silence_that_makes_no_sense_is_refused(home: Home) -> None:
    assert "expected one of them, found none" in home.run("silence", "--for", "2h", "--reason", "x").error
    assert "as in 2h, found '2 hours'" in home.run("silence", "toy", "--for", "2 hours", "--reason", "x").error
    assert "no model 'nobody'" in home.run("silence", "nobody", "--for", "2h", "--reason", "x").error
    assert "names none" in home.run("unsilence", "nothing").error
    assert home.store.silences() == []
