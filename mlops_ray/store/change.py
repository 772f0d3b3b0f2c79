"""The writes of one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, insert, select, update

from mlops_ray.errors import ConflictError
from mlops_ray.rollout import Phase
from mlops_ray.store.reads import Reads
from mlops_ray.store.records import (
    AlertRecord,
    ApiKeyRecord,
    ApprovalRecord,
    DeliveryRecord,
    LeaseRecord,
    LoopRecord,
    ModelRecord,
    ModelVersionRecord,
    RolloutRecord,
    RouteRecord,
    SilenceRecord,
    Stage,
    TriggerRecord,
)
from mlops_ray.store.schema import ALERTS, DELIVERIES, MODEL_VERSIONS, TABLE_OF

__all__ = ["Change"]


class Change(Reads):
    """Writes that happen together with one audit event, or not at all; its reads see them before they are committed.

    Writers of all processes wait for each other before they get one, so what it reads nobody else is changing.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.skipped = False

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        yield self._connection

    def skip(self) -> None:
        """Write nothing after all, no event either: what was asked for is so already."""
        self.skipped = True

    def put_model(self, record: ModelRecord) -> None:
        """Insert a model, or replace it."""
        self._put(record)

    def put_model_version(self, record: ModelVersionRecord) -> None:
        """Insert a version.

        Raises:
            ConflictError: it exists.
        """
        if not self._insert(record):
            raise ConflictError(
                f"version {record.version} of model {record.model!r} exists; a version is never replaced"
            )
        self._have_one_champion(record.model, record.version, record.stage)

    def set_stage(self, model: str, version: int, stage: Stage) -> None:
        """Move a version to a stage; a new champion retires the former one.

        Raises:
            NotFoundError: no such version.
        """
        self._put(replace(self.model_version(model, version), stage=stage))
        self._have_one_champion(model, version, stage)

    def put_rollout(self, record: RolloutRecord, expected_revision: int | None) -> RolloutRecord:
        """Write a rollout, and return it as stored; None inserts it as it is, a number replaces that revision.

        Raises:
            ConflictError: it was changed by somebody else, exists already, or another rollout of the model is active.
            NotFoundError: there is no such rollout to replace.
        """
        if expected_revision is None:
            self._refuse_second_rollout(record)
            self._put(record)
            return record
        found = self.rollout(record.id)
        if found.revision != expected_revision:
            raise ConflictError(
                f"rollout {record.id!r} was at revision {expected_revision} and is now at {found.revision} "
                f"({found.phase}); read it again"
            )
        stored = replace(record, revision=expected_revision + 1)
        self._put(stored)
        return stored

    def put_approval(self, record: ApprovalRecord) -> None:
        """Write what a person said; it replaces what the same person said before."""
        self._put(record)

    def insert_trigger(self, record: TriggerRecord) -> bool:
        """Insert a trigger; False if its id exists already, which is then left as it is."""
        return self._insert(record)

    def put_trigger(self, record: TriggerRecord) -> None:
        """Insert a trigger, or replace it."""
        self._put(record)

    def insert_alert(self, record: AlertRecord) -> bool:
        """Insert an alert; False if its id exists already, which is then left as it is."""
        return self._insert(record)

    def put_alert(self, record: AlertRecord) -> None:
        """Insert an alert, or replace it."""
        self._put(record)

    def put_delivery(self, record: DeliveryRecord) -> None:
        """Insert a delivery of an alert, or replace it."""
        self._put(record)

    def forget_deliveries(self, model: str, before_s: float) -> None:
        """Drop what was told about resolved alerts before `before_s`; deliveries that wait or are dead stay."""
        resolved = select(ALERTS.c.id).where(ALERTS.c.model == model, ALERTS.c.state == "resolved")
        over = (DELIVERIES.c.alert.in_(resolved), DELIVERIES.c.state.in_(("sent", "dropped")))
        self._connection.execute(delete(DELIVERIES).where(*over, DELIVERIES.c.updated_s < before_s))

    def put_silence(self, record: SilenceRecord) -> None:
        """Insert a silence, or replace it."""
        self._put(record)

    def insert_api_key(self, record: ApiKeyRecord) -> None:
        """Insert a key.

        Raises:
            ConflictError: its id exists.
        """
        if not self._insert(record):
            raise ConflictError(f"API key {record.id!r} exists already")

    def revoke_api_key(self, id: str, now_s: float) -> ApiKeyRecord:
        """Let a key be of no use from now on; its record stays.

        Raises:
            NotFoundError: no such key.
        """
        found = self.api_key(id)
        revoked = found if found.revoked_s is not None else replace(found, revoked_s=now_s)
        self._put(revoked)
        return revoked

    def put_route(self, record: RouteRecord) -> None:
        """Write a model's route.

        Raises:
            ConflictError: its epoch is not the one after the stored epoch (1 for the first).
        """
        found = self.route(record.model)
        expected = found.epoch + 1 if found else 1
        if record.epoch != expected:
            raise ConflictError(
                f"the route of model {record.model!r} expects epoch {expected} next, found {record.epoch}; "
                "read it again"
            )
        self._put(record)

    def put_lease(self, record: LeaseRecord) -> None:
        """Write who holds a lease.

        Raises:
            ConflictError: its epoch is an older one than the stored one.
        """
        found = self.lease(record.name)
        if found is not None and record.epoch < found.epoch:
            raise ConflictError(
                f"lease {record.name!r}: expected epoch {found.epoch} or a later one, found {record.epoch}"
            )
        self._put(record)

    def put_loop(self, record: LoopRecord) -> None:
        """Write what a person said about the retraining of a model."""
        self._put(record)

    def _put(self, record: Any) -> None:
        table = TABLE_OF[type(record)]
        self._connection.execute(delete(table).where(_same_key(table, record)))
        self._connection.execute(insert(table).values(**vars(record)))

    def _insert(self, record: Any) -> bool:
        table = TABLE_OF[type(record)]
        if self._connection.execute(select(table).where(_same_key(table, record))).first() is not None:
            return False
        self._connection.execute(insert(table).values(**vars(record)))
        return True

    def _have_one_champion(self, model: str, version: int, stage: Stage) -> None:
        if stage is not Stage.CHAMPION:
            return
        others = (MODEL_VERSIONS.c.model == model, MODEL_VERSIONS.c.version != version)
        former = update(MODEL_VERSIONS).where(*others, MODEL_VERSIONS.c.stage == Stage.CHAMPION)
        self._connection.execute(former.values(stage=Stage.RETIRED))

    def _refuse_second_rollout(self, record: RolloutRecord) -> None:
        if self._one(RolloutRecord, id=record.id) is not None:
            raise ConflictError(f"rollout {record.id!r} exists already")
        active = self.rollouts(record.model, active_only=True)
        if active and not Phase(record.phase).ended:
            other = active[0]
            raise ConflictError(
                f"model {record.model!r} is being delivered: rollout {other.id!r} of version {other.version} "
                f"is in phase {other.phase}; wait for its end, or abort it first"
            )


def _same_key(table: Table, record: Any) -> ColumnElement[bool]:
    return and_(*(column == getattr(record, column.name) for column in table.primary_key))
