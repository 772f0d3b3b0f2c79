"""Deliveries of alerts and silences, and transactions that leave no event."""

from contextlib import suppress

import pytest

from mlops_ray.errors import NotFoundError
from mlops_ray.store import Store
from mlops_ray.store.schema import DELIVERIES, SILENCES
from tests.store.samples import alert, delivery, event, silence


def test_deliveries_come_back_as_they_were_in_the_order_of_what_happened(store: Store) -> None:
    first, second = delivery(), delivery(id="alert-1/2/log", number=2, event="resolved", first_attempt_s=1.5)
    other = delivery(id="b", alert="b", model="toy", state="sent", key="k", route="hook", created_s=1.0)
    with store.change(event()) as change:
        for record in (second, first, other):
            change.put_delivery(record)
    assert store.deliveries() == [other, first, second]
    assert store.delivery("b") == other
    assert store.deliveries("churn", "pending") == store.deliveries(alert="alert-1") == [first, second]
    assert store.deliveries(key="k", route="hook") == [other]
    with pytest.raises(NotFoundError, match="expected the id of a delivery"):
        store.delivery("nothing")


@pytest.mark.parametrize(
    ("changes", "due"),
    [({}, True), ({"next_s": 41.0}, False), ({"state": "sent"}, False), ({"lease_until_s": 41.0}, False)],
)
def test_what_is_due_is_pending_and_in_nobodys_hands(store: Store, changes: dict[str, object], due: bool) -> None:
    with store.change(event()) as change:
        change.put_delivery(delivery(**changes))
    assert store.deliveries_to_send("churn", 40.0) == due
    assert not store.deliveries_to_send("toy", 40.0)


def test_silences_are_in_force_from_their_beginning_until_their_end(store: Store) -> None:
    with store.change(event()) as change:
        change.put_silence(silence())
    found = [(at_s, len(store.silences(at_s=at_s))) for at_s in (9.9, 10.0, 19.9, 20.0)]
    assert found == [(9.9, 0), (10.0, 1), (19.9, 1), (20.0, 0)]
    assert store.silences() == [store.silence("silence-1")] == [silence()]


def test_only_what_was_told_about_resolved_alerts_is_forgotten(store: Store) -> None:
    with store.change(event()) as change:
        change.put_alert(alert(state="resolved"))
        change.put_alert(alert(id="open"))
        for number, state in enumerate(("sent", "dropped", "pending", "dead"), 1):
            change.put_delivery(delivery(id=state, number=number, state=state, updated_s=10.0))
        change.put_delivery(delivery(id="new", state="sent", updated_s=20.0))
        change.put_delivery(delivery(id="open", alert="open", state="sent", updated_s=10.0))
        change.forget_deliveries("churn", 20.0)
    assert {d.id for d in store.deliveries()} == {"pending", "dead", "new", "open"}


def test_bookkeeping_writes_no_event_and_all_or_nothing(store: Store) -> None:
    with store.bookkeeping() as change:
        change.put_delivery(delivery())
    with suppress(ZeroDivisionError), store.bookkeeping() as change:
        change.put_delivery(delivery(id="b"))
        raise ZeroDivisionError
    with store.bookkeeping() as change:
        change.put_delivery(delivery(id="c"))
        change.skip()
    assert [d.id for d in store.deliveries()] == ["alert-1/1/log"]
    assert store.events() == []


def test_a_store_of_before_gets_the_tables(store: Store) -> None:
    with store._database.writing() as connection:  # an older version had none of them
        for table in (DELIVERIES, SILENCES):
            table.drop(connection)
        connection.commit()
    store.create()
    with store.change(event()) as change:
        change.put_delivery(delivery())
        change.put_silence(silence())
    assert len(store.deliveries()) == len(store.silences()) == 1
