"""The audit chain: every event carries the hash of the one before, and a head row holds their count and last hash.

The chain shows that events were edited, dropped or reordered by somebody who can write to the database but did not
rebuild it. Against one who rebuilds all of it, compare `AuditReport.head` with a copy kept somewhere else.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from mlops_ray.errors import AuditError, StoreError
from mlops_ray.store.canonical import canonical, decoded
from mlops_ray.store.schema import AUDIT_EVENTS, AUDIT_HEAD

__all__ = ["AuditEvent", "AuditReport", "Event", "Head", "append", "audit_event", "begin_chain", "lock_head", "verify"]

_GENESIS = "0" * 64
_HEAD_ID = 1
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Event:
    """What happened, to be written in the transaction of the change it tells of."""

    kind: str  # "model_version.created", "rollout.advanced"
    subject: str  # what it happened to, "churn/3"
    payload: Mapping[str, Any]  # JSON values
    actor: str  # person or part that did it
    at_s: float


@dataclass(frozen=True)
class AuditEvent:
    """An event in its place in the chain."""

    seq: int  # 1, 2, 3, ... without gaps
    at_s: float
    actor: str
    kind: str
    subject: str
    payload: Mapping[str, Any]
    previous_hash: str
    hash: str


@dataclass(frozen=True)
class AuditReport:
    """What checking the whole chain found; `problem` names the first event that is not as it was written."""

    events: int
    verified: bool
    problem: str | None
    head: str = ""  # hash of the last event


@dataclass(frozen=True)
class Head:
    """Count of the events, and the hash of the last."""

    events: int
    hash: str


def begin_chain(connection: Connection) -> None:
    """Write the head of an empty chain, unless there is one."""
    if connection.execute(select(AUDIT_HEAD)).first() is None:
        connection.execute(insert(AUDIT_HEAD).values(id=_HEAD_ID, events=0, hash=_GENESIS))


def lock_head(connection: Connection) -> Head:
    """The head, held by this transaction: whoever writes waits here for the writer before.

    Raises:
        AuditError: the head row is gone.
    """
    return _head(connection.execute(select(AUDIT_HEAD).where(AUDIT_HEAD.c.id == _HEAD_ID).with_for_update()).first())


def append(connection: Connection, head: Head, event: Event) -> None:
    """Write `event` after `head`, which this transaction has locked."""
    seq, payload = head.events + 1, canonical(event.payload)
    at_s = float(event.at_s) + 0.0  # SQLite keeps no negative zero
    values = {"seq": seq, "at_s": at_s, "actor": event.actor, "kind": event.kind}
    values |= {"subject": event.subject, "previous_hash": head.hash}
    digest = _digest(**values, payload=decoded(payload))
    connection.execute(insert(AUDIT_EVENTS).values(**values, payload=payload, hash=digest))
    connection.execute(update(AUDIT_HEAD).where(AUDIT_HEAD.c.id == _HEAD_ID).values(events=seq, hash=digest))


def audit_event(row: Row[Any]) -> AuditEvent:
    """A row of the table as a value.

    Raises:
        AuditError: the payload is no JSON.
    """
    try:
        return AuditEvent(**{**row._mapping, "payload": decoded(row.payload)})
    except StoreError as error:
        raise AuditError(f"event {row.seq} ({row.kind}) was edited: {error}") from None


def verify(connection: Connection) -> AuditReport:
    """Recompute the whole chain in the order of `seq`, within the snapshot that `connection` reads."""
    in_order = select(AUDIT_EVENTS).order_by(AUDIT_EVENTS.c.seq)
    with connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(in_order) as rows:
        last, problem = _walk(rows)
    try:
        head = _head(connection.execute(select(AUDIT_HEAD).where(AUDIT_HEAD.c.id == _HEAD_ID)).first())
    except AuditError as error:
        return AuditReport(last.events, False, problem or str(error), last.hash)
    problem = problem or _tail_problem(last, head)
    return AuditReport(last.events, problem is None, problem, head.hash)


def _head(row: Row[Any] | None) -> Head:
    if row is None:
        raise AuditError("the head row of the audit chain is gone; restore the store from a backup")
    return Head(row.events, row.hash)


def _walk(rows: Iterable[Row[Any]]) -> tuple[Head, str | None]:
    last, before = Head(0, _GENESIS), "the start"
    for row in rows:
        problem = _row_problem(row, last, before)
        if problem:
            return last, problem
        last, before = Head(row.seq, row.hash), f"event {row.seq} ({row.kind})"
    return last, None


def _row_problem(row: Row[Any], last: Head, before: str) -> str | None:
    name, expected = f"event {row.seq} ({row.kind})", last.events + 1
    if row.seq != expected:
        return f"event {expected} was dropped: {before} is followed by {name}"
    if row.previous_hash != last.hash:
        return f"{name} does not follow {before}: events were reordered, or one of the two was replaced"
    try:
        event = audit_event(row)
    except AuditError as error:
        return str(error)
    content = {field: value for field, value in vars(event).items() if field != "hash"}
    if canonical(event.payload) != row.payload or _digest(**content) != row.hash:
        return f"{name} was edited: its content does not have the hash it was written with"
    return None


def _tail_problem(last: Head, head: Head) -> str | None:
    if last.events < head.events:
        return f"event {last.events + 1} was dropped: {head.events} events were written, and {last.events} are there"
    if last.events > head.events:
        return f"event {head.events + 1} was added from outside: only {head.events} events were written by the store"
    if last.hash != head.hash:
        return f"event {last.events} was replaced: it is not the last one written by the store"
    return None


def _digest(**content: Any) -> str:
    return hashlib.sha256(canonical(content).encode()).hexdigest()
