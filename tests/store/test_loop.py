"""What people said about loops, and who holds a delivery of an alert, on each database."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

from mlops_ray.store import LoopRecord, Store
from mlops_ray.store.schema import LOOPS
from tests.store.samples import delivery, event


def loop(**changes: Any) -> LoopRecord:
    """The loop of churn, paused by ada."""
    values: dict[str, Any] = {
        "model": "churn",
        "paused": True,
        "reason": "a migration — until noon",
        "by": "ada",
        "resumed_s": 0.0,
        "updated_s": 1_700_000_000.123456,
    }
    return LoopRecord(**values | changes)


def put(store: Store, record: LoopRecord) -> None:
    with store.change(event()) as change:
        change.put_loop(record)


def test_a_model_nobody_spoke_about_has_no_record(store: Store) -> None:
    put(store, loop(model="other"))
    assert store.loop("churn") is None


def test_a_loop_comes_back_as_it_was_written(store: Store) -> None:
    put(store, loop())
    assert store.loop("churn") == loop()
    found = store.loop("churn")
    assert found is not None
    assert found.paused is True


def test_the_newest_word_replaces_the_one_before_and_no_other_models(store: Store) -> None:
    put(store, loop(model="other"))
    put(store, loop())
    resumed = loop(paused=False, reason="", by="bob", resumed_s=2e9 + 0.25, updated_s=2e9 + 0.25)
    put(store, resumed)
    assert store.loop("churn") == resumed
    assert store.loop("other") == loop(model="other")


def test_a_word_that_is_not_committed_is_not_there(store: Store) -> None:
    with suppress(ZeroDivisionError), store.change(event()) as change:
        change.put_loop(loop())
        assert change.loop("churn") == loop()
        raise ZeroDivisionError
    assert store.loop("churn") is None
    assert store.events() == []


def test_a_store_of_before_gets_the_table_of_loops(store: Store) -> None:
    with store._database.writing() as connection:  # an older version had none
        LOOPS.drop(connection)
        connection.commit()
    store.create()
    put(store, loop())
    assert store.loop("churn") == loop()


def test_a_claim_keeps_others_away_until_it_runs_out_or_is_given_back(store: Store) -> None:
    claimed = delivery(owner="here-1", lease_until_s=60.0, message="m", attempts=1, first_attempt_s=40.0)
    with store.bookkeeping() as change:
        change.put_delivery(delivery())
        change.put_delivery(claimed)
    assert store.delivery(claimed.id) == claimed
    assert [store.deliveries_to_send("churn", at_s) for at_s in (59.9, 60.0)] == [False, True]
    with store.bookkeeping() as change:
        change.put_delivery(replace(claimed, owner="", lease_until_s=0.0, next_s=45.0))
    assert [store.deliveries_to_send("churn", at_s) for at_s in (44.9, 45.0)] == [False, True]
    assert len(store.deliveries("churn")) == 1
