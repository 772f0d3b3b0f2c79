from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_ray.alerting import Dispatcher, MemorySink
from mlops_ray.monitor.alert_book import AlertBook
from mlops_ray.monitor.finding import Finding
from mlops_ray.store import Store

A = Finding("drift", "warning", 1, "a drifted", ("a",))
AB = Finding("drift", "warning", 1, "a and b drifted", ("a", "b"))
SPLIT = Finding("sample_ratio", "critical", 2, "half of the units are missing")
DECAY = Finding("decay", "critical", 1, "auc is low")


class Book:
    """An alert book, and what people heard of it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.sink = MemorySink()
        self.dispatcher = Dispatcher([self.sink])
        self.book = AlertBook("toy", store, self.dispatcher)

    def told(self) -> list[tuple[str, ...]]:
        """Features of everything people were told."""
        self.dispatcher.close(timeout_s=5)
        return [alert.features for alert in self.sink.alerts]

    def kinds(self) -> list[str]:
        """Kinds of the audit events."""
        return [event.kind for event in self.store.events()]


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    """A book without alerts."""
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    store.create()
    yield Book(store)
    store.close()


def test_the_first_sign_opens_an_alert_and_tells_people(book: Book) -> None:
    book.book.report(A, 5.0)
    (alert,) = book.store.alerts("toy", state="open")
    assert (alert.kind, alert.version, alert.features, alert.at_s) == ("drift", 1, ("a",), 5.0)
    assert book.told() == [("a",)]


def test_the_same_finding_again_changes_nothing(book: Book) -> None:
    for now_s in (5.0, 6.0, 7.0):
        book.book.report(A, now_s)
    assert book.kinds() == ["alert.raised"]
    assert len(book.told()) == 1


def test_a_feature_that_joins_updates_the_alert_and_tells_people_again(book: Book) -> None:
    book.book.report(A, 5.0)
    book.book.report(AB, 6.0)
    (alert,) = book.store.alerts("toy")
    assert (alert.features, alert.message, alert.at_s, alert.updated_s) == (("a", "b"), "a and b drifted", 5.0, 6.0)
    assert book.told() == [("a",), ("a", "b")]
    assert [told.id for told in book.sink.alerts] == ["toy-drift-v1-5000", "toy-drift-v1-5000+b"]


def test_a_feature_that_leaves_updates_the_alert_in_silence(book: Book) -> None:
    book.book.report(AB, 5.0)
    book.book.report(A, 6.0)
    assert book.store.alerts("toy")[0].features == ("a",)
    assert book.kinds() == ["alert.raised", "alert.updated"]
    assert book.told() == [("a", "b")]


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
    assert len(book.told()) == 2


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
