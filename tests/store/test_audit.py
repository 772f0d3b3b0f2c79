"""The audit chain finds what was done to it behind the store's back, on each database."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, update

from mlops_ray.errors import AuditError
from mlops_ray.store import AuditReport, Store
from mlops_ray.store.database import Database
from mlops_ray.store.schema import AUDIT_EVENTS, AUDIT_HEAD, MODELS
from tests.store.samples import event

EVENTS = AUDIT_EVENTS.c


@pytest.fixture
def chain(store: Store) -> Store:
    """A store with five events of kinds k1 to k5."""
    for n in range(1, 6):
        with store.change(event(kind=f"k{n}", payload={"n": n})):
            pass
    return store


def tamper(store: Store, *statements: object) -> AuditReport:
    """What somebody with a database client does, and what `verify` says to it."""
    database = Database(store.url)
    with database.writing() as connection:
        for statement in statements:
            connection.execute(statement)  # type: ignore[call-overload]
        connection.commit()
    database.close()
    return store.verify()


def changed(event_seq: int, **values: object) -> object:
    return update(AUDIT_EVENTS).where(EVENTS.seq == event_seq).values(**values)


def test_an_untouched_chain_verifies(chain: Store) -> None:
    report = chain.verify()
    assert report == AuditReport(events=5, verified=True, problem=None, head=chain.events()[-1].hash)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("at_s", 99.0),
        ("actor", "nobody"),
        ("kind", "k3 edited"),
        ("subject", "other"),
        ("payload", '{"n":4}'),
        ("payload", '{"n": 3}'),
        ("payload", "{oops"),
        ("hash", "0" * 64),
    ],
)
@pytest.mark.parametrize("seq", [1, 3, 5])
def test_an_edited_event_is_named(chain: Store, seq: int, column: str, value: object) -> None:
    report = tamper(chain, changed(seq, **{column: value}))
    assert not report.verified
    assert report.problem is not None
    assert re.match(rf"event {seq} \(k[1-5]( edited)?\) was edited", report.problem)


def test_an_edited_event_with_a_new_hash_is_found_by_the_next_one(chain: Store) -> None:
    report = tamper(chain, changed(3, hash="f" * 64), changed(4, previous_hash="f" * 64))
    assert report.problem is not None
    assert report.problem.startswith("event 3 (k3) was edited")


def test_a_forged_event_with_its_right_hash_does_not_fit_the_next_one(chain: Store, tmp_path: Path) -> None:
    other = Store(f"sqlite:///{tmp_path / 'forger.db'}")
    other.create()
    for n in range(1, 5):
        with other.change(event(kind=f"k{n}", payload={"n": n if n < 4 else "forged"})):
            pass
    forged = other.events()[-1]
    other.close()
    report = tamper(chain, changed(4, payload='{"n":"forged"}', hash=forged.hash))
    assert report.problem is not None
    assert report.problem.startswith("event 5 (k5) does not follow event 4 (k4)")


@pytest.mark.parametrize(("seq", "before"), [(1, "the start"), (2, r"event 1 \(k1\)"), (4, r"event 3 \(k3\)")])
def test_a_dropped_event_is_named(chain: Store, seq: int, before: str) -> None:
    report = tamper(chain, delete(AUDIT_EVENTS).where(EVENTS.seq == seq))
    assert report.problem is not None
    assert re.match(rf"event {seq} was dropped: {before} is followed by event {seq + 1}", report.problem)


@pytest.mark.parametrize("kept", [0, 1, 4])
def test_a_dropped_tail_is_found(chain: Store, kept: int) -> None:
    report = tamper(chain, delete(AUDIT_EVENTS).where(EVENTS.seq > kept))
    assert report == AuditReport(
        events=kept,
        verified=False,
        problem=f"event {kept + 1} was dropped: 5 events were written, and {kept} are there",
        head=report.head,
    )


def test_a_dropped_event_with_the_rest_moved_up_is_found(chain: Store) -> None:
    moves = [changed(n, seq=n - 1) for n in (4, 5)]
    report = tamper(chain, delete(AUDIT_EVENTS).where(EVENTS.seq == 3), *moves)
    assert report.problem is not None
    assert report.problem.startswith("event 3 (k4) does not follow event 2 (k2)")


def test_reordered_events_are_named(chain: Store) -> None:
    report = tamper(chain, changed(2, seq=99), changed(3, seq=2), changed(99, seq=3))
    assert report.problem is not None
    assert report.problem.startswith("event 2 (k3) does not follow event 1 (k1): events were reordered")


def test_an_event_added_from_outside_is_found(chain: Store) -> None:
    last = chain.events()[-1]
    with chain.change(event(kind="k6")):
        pass
    report = tamper(chain, update(AUDIT_HEAD).values(events=5, hash=last.hash))
    assert report.problem == "event 6 was added from outside: only 5 events were written by the store"


def test_a_replaced_last_event_is_found_by_the_head(chain: Store) -> None:
    report = tamper(chain, update(AUDIT_HEAD).values(hash="f" * 64))
    assert report.problem == "event 5 was replaced: it is not the last one written by the store"


def test_a_head_that_is_gone_is_found_and_stops_writing(chain: Store) -> None:
    report = tamper(chain, delete(AUDIT_HEAD))
    assert report.problem is not None
    assert "head row of the audit chain is gone" in report.problem
    with pytest.raises(AuditError, match="head row"), chain.change(event()):
        pass


def test_creating_again_does_not_heal_a_head_that_is_gone(chain: Store) -> None:
    tamper(chain, delete(AUDIT_HEAD))
    chain.create()
    assert not chain.verify().verified


def test_reading_an_event_that_is_no_json_names_it(chain: Store) -> None:
    tamper(chain, changed(2, payload="{oops"))
    with pytest.raises(AuditError, match=r"event 2 \(k2\) was edited"):
        chain.events()


def test_changes_of_state_do_not_break_the_chain(chain: Store) -> None:
    assert tamper(chain, insert(MODELS).values(name="m", spec_json="{}", updated_s=1.0)).verified


def test_a_chain_longer_than_one_fetch_verifies(store: Store) -> None:
    for n in range(30):
        with store.change(event(payload={"n": n})):
            pass
    assert store.verify().events == 30


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at_s=st.floats(allow_nan=False, allow_infinity=False),
    payload=st.dictionaries(
        st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False) | st.text(), max_size=4
    ),
)
@example(at_s=-0.0, payload={"x": -0.0})
@example(at_s=5e-324, payload={"\x00": "\ud800"})
def test_any_time_and_payload_verify_after_the_database_had_them(
    store: Store, at_s: float, payload: dict[str, object]
) -> None:
    with store.change(event(at_s=at_s, payload=payload)):
        pass
    assert store.verify().verified
    assert store.events(limit=1)[0].payload == payload
