"""Alerts in the store, and what routes are told of them; time is an argument here."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mlops_ray.alerting import MemorySink, Route
from mlops_ray.errors import StoreError
from mlops_ray.monitor.alert_book import AlertBook
from mlops_ray.monitor.alert_claims import AlertClaims
from mlops_ray.monitor.alert_outbox import AlertOutbox
from mlops_ray.monitor.finding import Finding
from mlops_ray.spec import AlertPolicy
from mlops_ray.store import Event, SilenceRecord, Store

A = Finding("drift", "warning", 1, "a drifted", ("a",))
AB = Finding("drift", "warning", 1, "a and b drifted", ("a", "b"))
SPLIT = Finding("sample_ratio", "critical", 2, "half of the units are missing")
DECAY = Finding("decay", "critical", 1, "auc is low")
WORSE = Finding("drift", "critical", 1, "a drifted far", ("a",))


class Book:
    """An alert book, and what people heard of it: group 10 s, cooldown 1,000 s."""

    def __init__(self, store: Store, routes: Sequence[Route] = (), **policy: float) -> None:
        self.store = store
        self.sink = MemorySink()
        routes = routes or [Route("memory", self.sink, resolved=True)]
        outbox = AlertOutbox("toy", routes, AlertPolicy(**{"group_s": 10, "cooldown_s": 1000} | policy))
        self.claims = AlertClaims(store, outbox)
        self.book = AlertBook("toy", store, outbox)

    def told(self, now_s: float) -> list[tuple[str, tuple[str, ...]]]:
        """Event and features of everything people hear until `now_s`, and have not heard before."""
        before = len(self.sink.alerts)
        while claims := self.claims.claim(now_s):
            for claim in claims:
                claim.route.sink.send(claim.message)
                self.claims.sent(claim, now_s)
        return [(alert.event, alert.features) for alert in self.sink.alerts[before:]]

    def kinds(self) -> list[str]:
        """Kinds of the audit events about alerts themselves."""
        return [event.kind for event in self.store.events() if event.kind != "alert.delivered"]

    def silence(self, until_s: float, feature: str | None = None, *, kind: str | None = None) -> None:
        """Be quiet from second 0 on."""
        id = f"s-{feature}-{kind}-{until_s:g}"
        with self.store.change(Event("alerts.silenced", id, {}, "test", 0.0)) as change:
            change.put_silence(SilenceRecord(id, "toy", kind, feature, "works", "ada", 0.0, until_s))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store without alerts."""
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    store.create()
    yield store
    store.close()


@pytest.fixture
def book(store: Store) -> Book:
    """A book without alerts."""
    return Book(store)


def test_the_first_sign_opens_an_alert_and_tells_people(book: Book) -> None:
    book.book.report(A, 5.0)
    (alert,) = book.store.alerts("toy", state="open")
    assert (alert.kind, alert.version, alert.features, alert.at_s) == ("drift", 1, ("a",), 5.0)
    assert book.told(15.0) == [("raised", ("a",))]
    assert [(e.kind, e.subject) for e in book.store.events()] == [
        ("alert.raised", alert.id),
        ("alert.delivered", alert.id),
    ]


def test_alert_and_deliveries_are_written_together_or_not_at_all(book: Book) -> None:
    with pytest.raises(StoreError):
        book.book.report(Finding("drift", "warning", 1, "a", ("a",), {"ks": float("nan")}), 5.0)
    assert book.store.alerts("toy") == []
    book.book.report(A, 5.0)
    assert [d.state for d in book.store.deliveries("toy")] == ["pending"]
    assert book.store.deliveries("toy")[0].alert == book.store.alerts("toy")[0].id


def test_the_same_finding_again_changes_nothing(book: Book) -> None:
    for now_s in (5.0, 6.0, 7.0):
        book.book.report(A, now_s)
    assert book.kinds() == ["alert.raised"]
    assert len(book.told(100.0)) == 1


def test_a_feature_that_joins_before_people_heard_is_told_in_the_same_breath(book: Book) -> None:
    book.book.report(A, 5.0)
    book.book.report(AB, 6.0)
    (alert,) = book.store.alerts("toy")
    assert (alert.features, alert.message, alert.at_s, alert.updated_s) == (("a", "b"), "a and b drifted", 5.0, 6.0)
    assert book.told(15.0) == [("raised", ("a", "b"))]


def test_a_feature_that_joins_later_is_told_when_the_cooldown_is_over(book: Book) -> None:
    book.book.report(A, 5.0)
    assert len(book.told(15.0)) == 1
    book.book.report(AB, 20.0)
    assert book.told(1014.9) == []
    assert book.told(1015.0) == [("updated", ("a", "b"))]


def test_a_feature_that_leaves_updates_the_alert_in_silence(book: Book) -> None:
    book.book.report(AB, 5.0)
    book.told(15.0)
    book.book.report(A, 16.0)
    assert book.store.alerts("toy")[0].features == ("a",)
    assert book.kinds() == ["alert.raised", "alert.updated"]
    assert book.told(5000.0) == []


def test_an_alert_that_gets_more_severe_is_told_at_once(book: Book) -> None:
    book.book.report(A, 5.0)
    book.told(15.0)
    book.book.report(WORSE, 20.0)
    assert book.told(30.0) == [("escalated", ("a",))]
    assert book.sink.alerts[-1].severity_before == "warning"
    assert book.kinds()[-1] == "alert.escalated"


def test_an_alert_that_gets_less_severe_and_worse_again_waits_for_the_cooldown(book: Book) -> None:
    book.book.report(WORSE, 5.0)
    book.told(15.0)
    book.book.report(A, 20.0)
    book.book.report(WORSE, 30.0)
    assert book.told(1000.0) == []
    assert book.told(1015.0) == [("escalated", ("a",))]


def test_alerts_of_one_model_within_the_grouping_time_are_one_message(book: Book) -> None:
    book.book.report(A, 5.0)
    book.book.report(DECAY, 14.0)
    assert book.told(14.9) == []
    assert len(book.told(15.0)) == 2
    assert [len(message.alerts) for message in book.sink.messages] == [2]


def test_a_sink_that_takes_one_at_a_time_gets_them_in_order(store: Store) -> None:
    sink = MemorySink()
    sink.takes_groups = False
    book = Book(store, [Route("one", sink, resolved=True)])
    book.sink = sink
    book.book.report(A, 5.0)
    book.book.resolve("drift", 1, "gone", 6.0)
    book.book.report(DECAY, 7.0)
    assert [event for event, _ in book.told(100.0)] == ["raised", "resolved", "raised"]
    assert [len(message.alerts) for message in sink.messages] == [1, 1, 1]


def test_the_end_is_told_to_routes_that_have_heard_and_want_to_know(store: Store) -> None:
    sinks = {name: MemorySink() for name in ("all", "critical", "news")}
    routes = [
        Route("all", sinks["all"], resolved=True),
        Route("critical", sinks["critical"], min_severity="critical", resolved=True),
        Route("news", sinks["news"]),
    ]
    book = Book(store, routes)
    book.book.report(A, 5.0)
    book.told(15.0)
    book.book.resolve("drift", 1, "gone", 16.0)
    book.told(30.0)
    events = {name: [alert.event for alert in sink.alerts] for name, sink in sinks.items()}
    assert events == {"all": ["raised", "resolved"], "critical": [], "news": ["raised"]}
    assert sinks["all"].alerts[-1].reason == "gone"


def test_a_route_for_what_is_critical_hears_of_an_alert_when_it_becomes_so(store: Store) -> None:
    sink = MemorySink()
    book = Book(store, [Route("critical", sink, min_severity="critical", resolved=True)])
    book.sink = sink
    book.book.report(A, 5.0)
    assert book.told(15.0) == []
    book.book.report(WORSE, 20.0)
    book.book.resolve("drift", 1, "gone", 100.0)
    assert [event for event, _ in book.told(200.0)] == ["raised", "resolved"]


def test_a_new_episode_within_the_cooldown_is_told_when_that_is_over(book: Book) -> None:
    book.book.report(A, 5.0)
    book.told(15.0)
    book.book.resolve("drift", 1, "gone", 16.0)
    assert book.told(30.0) == [("resolved", ("a",))]
    book.book.report(A, 50.0)
    assert book.told(1014.0) == []
    assert book.told(1015.0) == [("raised", ("a",))]


def test_an_episode_that_ends_within_the_cooldown_is_never_told(book: Book) -> None:
    book.book.report(A, 5.0)
    book.book.resolve("drift", 1, "gone", 20.0)
    assert len(book.told(40.0)) == 2
    book.book.report(A, 50.0)
    book.book.resolve("drift", 1, "gone", 60.0)
    assert book.told(9000.0) == []
    assert [d.state for d in book.store.deliveries("toy")] == ["sent", "sent", "dropped"]


def test_a_silence_holds_back_what_lasts_until_it_ends(book: Book) -> None:
    book.silence(500.0)
    book.book.report(A, 5.0)
    assert book.told(499.0) == []
    assert book.told(500.0) == [("raised", ("a",))]


def test_a_silence_swallows_what_is_over_before_it_ends(book: Book) -> None:
    book.silence(500.0)
    book.book.report(A, 5.0)
    book.book.resolve("drift", 1, "gone", 60.0)
    assert book.told(9000.0) == []


def test_a_silence_that_comes_before_the_message_went_out_counts(book: Book) -> None:
    book.book.report(A, 5.0)
    book.book.report(DECAY, 5.0)
    book.silence(500.0, kind="drift")
    assert book.told(15.0) == [("raised", ())]
    book.book.resolve("drift", 1, "gone", 60.0)
    assert book.told(9000.0) == []


def test_an_end_that_waited_with_the_news_is_swallowed_with_it(book: Book) -> None:
    book.book.report(A, 5.0)
    book.book.resolve("drift", 1, "gone", 6.0)
    book.silence(500.0)
    assert book.told(20.0) + book.told(9000.0) == [], "neither raised nor resolved"


def test_the_end_of_what_people_heard_is_told_in_a_silence_too(book: Book) -> None:
    book.book.report(A, 5.0)
    book.told(15.0)
    book.silence(500.0)
    book.book.resolve("drift", 1, "gone", 60.0)
    assert book.told(70.0) == [("resolved", ("a",))]


def test_a_silence_of_one_feature_does_not_hide_another(book: Book) -> None:
    book.silence(500.0, "a")
    book.book.report(A, 5.0)
    assert book.told(100.0) == []
    book.book.report(AB, 101.0)
    assert book.told(111.0) == [("raised", ("a", "b"))]


def test_silences_of_all_features_are_one_of_the_alert_until_the_first_ends(book: Book) -> None:
    book.silence(500.0, "a")
    book.silence(300.0, "b")
    book.book.report(AB, 5.0)
    assert book.told(299.0) == []
    assert book.told(300.0) == [("raised", ("a", "b"))]


def test_sample_records_are_kept_as_far_as_the_spec_allows(store: Store) -> None:
    book = Book(store, samples=1)
    book.book.report(Finding("drift", "warning", 1, "a", ("a",), {"samples": [{"a": 1}, {"a": 2}]}), 5.0)
    book.told(15.0)
    assert book.sink.alerts[0].evidence == {"samples": [{"a": 1}]} == book.store.alerts("toy")[0].evidence


def test_what_was_told_is_forgotten_when_it_is_old_and_over(store: Store) -> None:
    book = Book(store, keep_s=2000)
    book.book.report(A, 5.0)
    book.told(15.0)
    book.book.report(DECAY, 5000.0)
    book.told(5010.0)
    assert len(store.deliveries("toy")) == 2, "an alert that lasts is remembered"
    book.book.resolve("drift", 1, "gone", 6000.0)
    book.told(6010.0)
    book.book.resolve("decay", 1, "gone", 9000.0)
    book.told(9010.0)
    assert [d.created_s for d in store.deliveries("toy")] == [9000.0]


def test_alerts_of_two_kinds_are_open_beside_each_other(book: Book) -> None:
    book.book.report(A, 5.0)
    book.book.report(DECAY, 5.0)
    book.book.resolve("drift", 1, "gone", 6.0)
    assert [alert.kind for alert in book.store.alerts("toy", state="open")] == ["decay"]


def test_a_new_episode_after_the_end_of_one_is_a_new_alert(book: Book) -> None:
    book.book.report(A, 5.0)
    book.book.resolve("drift", 1, "gone", 6.0)
    book.book.report(A, 7.0)
    assert [alert.state for alert in book.store.alerts("toy")] == ["resolved", "open"]


def test_resolving_what_is_not_open_writes_nothing(book: Book) -> None:
    book.book.resolve("drift", 1, "gone", 6.0)
    assert book.kinds() == []


def test_a_new_champion_ends_the_alerts_of_others(book: Book) -> None:
    book.book.report(A, 5.0)
    book.book.report(Finding("drift", "warning", 2, "a drifted", ("a",)), 6.0)
    book.book.resolve_others(2, 7.0)
    assert [alert.version for alert in book.store.alerts("toy", state="open")] == [2]
    assert book.store.events(kind="alert.resolved")[0].payload == {"reason": "version 2 is champion now"}


def test_a_new_champion_says_nothing_about_a_delivery(book: Book) -> None:
    book.book.report(SPLIT, 5.0)
    book.book.resolve_others(1, 7.0)
    assert len(book.store.alerts("toy", state="open")) == 1


def test_alerts_on_a_delivery_end_with_it(book: Book) -> None:
    book.book.report(SPLIT, 5.0)
    book.book.report(A, 5.0)
    book.book.resolve_ended({2}, 6.0)
    assert len(book.store.alerts("toy", state="open")) == 2
    book.book.resolve_ended(set(), 7.0)
    assert [alert.kind for alert in book.store.alerts("toy", state="open")] == ["drift"]
    assert book.store.events(kind="alert.resolved")[0].payload == {"reason": "the rollout has ended"}


def test_two_books_that_see_the_same_write_it_once(book: Book) -> None:
    other = Book(book.store)
    for one in (book, other):
        one.book.report(A, 5.0)
    for one in (book, other):
        one.book.report(AB, 30.0)
    for one in (book, other):
        one.book.resolve("drift", 1, "gone", 40.0)
    assert book.kinds() == ["alert.raised", "alert.updated", "alert.resolved"]
    assert len(book.store.alerts("toy")) == 1
