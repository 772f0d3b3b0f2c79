"""The truth about models, versions, rollouts, triggers, alerts and routes, and the audit chain of their changes."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy import Connection, select

from mlops_ray.store.audit import AuditEvent, AuditReport, Event, append, audit_event, begin_chain, lock_head, verify
from mlops_ray.store.change import Change
from mlops_ray.store.database import Database
from mlops_ray.store.reads import Reads
from mlops_ray.store.records import LeaseRecord
from mlops_ray.store.schema import AUDIT_EVENTS, METADATA, add_missing_columns

__all__ = ["Store"]


class Store(Reads):
    """State and audit chain in one SQL database; opened when first used, picklable, safe in threads and processes.

    Every method raises `StoreError` when the database cannot be reached or refuses.

    Raises:
        StoreError: `url` is not one of SQLite (a file) or PostgreSQL.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._database = Database(url)

    def create(self) -> None:
        """Make tables, columns and the chain's head where they are missing; several processes may do so at once."""
        with self._database.creating() as connection:
            METADATA.create_all(connection)
            add_missing_columns(connection)
            begin_chain(connection)
            connection.commit()

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self._database.close()

    @contextmanager
    def change(self, event: Event) -> Iterator[Change]:
        """One transaction: what the block writes, and `event`. An exception in the block rolls both back.

        Raises:
            StoreError: a mapping that is no JSON, or the database refuses; nothing is written then.
        """
        with self._database.writing() as connection:
            head = lock_head(connection)
            change = Change(connection)
            yield change
            if not change.skipped:
                append(connection, head, event)
                connection.commit()

    @contextmanager
    def bookkeeping(self) -> Iterator[Change]:
        """One transaction without event, for what nobody decided: leases and attempts. Waits for writers like `change`.

        Raises:
            StoreError: as `change`.
        """
        with self._database.writing() as connection:
            lock_head(connection)
            change = Change(connection)
            yield change
            if not change.skipped:
                connection.commit()

    def take_lease(self, name: str, owner: str, *, now_s: float, lasts_s: float, gone: bool = False) -> LeaseRecord:
        """Take a lease that is free or has run out, or go on holding it; the record as it is then, whoever has it.

        Only a new holder is an event (`lease.taken`). `gone`: the holder is known to be dead, so nobody waits for it.
        """
        found = self.lease(name)
        mine = found is not None and found.owner == owner
        if found is not None and not mine and not gone and found.expires_s > now_s:
            return found
        epoch = found.epoch if found is not None and mine else (found.epoch if found is not None else 0) + 1
        record = LeaseRecord(name, owner, epoch, now_s + lasts_s, now_s)
        payload = {"owner": owner, "epoch": epoch, "from": found.owner if found is not None else None}
        writing = self.bookkeeping() if mine else self.change(Event("lease.taken", name, payload, owner, now_s))
        with writing as change:
            stored = change.lease(name)
            if stored != found:  # somebody else was a moment quicker
                change.skip()
                return stored if stored is not None else record
            change.put_lease(record)
        return record

    def events(
        self, subject: str | None = None, kind: str | None = None, limit: int | None = None, *, after: int = 0
    ) -> list[AuditEvent]:
        """Audit events whose `seq` is above `after`, oldest first; with `limit` only the newest so many.

        Raises:
            AuditError: the payload of one is not what the store writes.
        """
        query = select(AUDIT_EVENTS).order_by(AUDIT_EVENTS.c.seq.desc()).limit(limit)
        for column, value in ((AUDIT_EVENTS.c.subject, subject), (AUDIT_EVENTS.c.kind, kind)):
            query = query if value is None else query.where(column == value)
        query = query.where(AUDIT_EVENTS.c.seq > after) if after else query
        with self._reading() as connection:
            return [audit_event(row) for row in connection.execute(query)][::-1]

    def verify(self) -> AuditReport:
        """Recompute the audit chain from its first event."""
        with self._reading() as connection:
            return verify(connection)

    def _reading(self) -> AbstractContextManager[Connection]:
        return self._database.reading()
