"""Every question the store answers, asked outside or inside a transaction alike."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, func, select

from mlops_ray.errors import NotFoundError
from mlops_ray.rollout import Phase
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
from mlops_ray.store.schema import AUDIT_HEAD, DELIVERIES, TABLE_OF

__all__ = ["Reads"]

Record = TypeVar(
    "Record",
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
    TriggerRecord,
)
_ACTIVE_PHASES = tuple(phase.value for phase in Phase if not phase.ended)
_LISTED = 10


class Reads(ABC):
    """The read methods; a subclass says which connection they use."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Connection]:
        """A connection to read from, for as long as the block lasts."""

    def model(self, name: str) -> ModelRecord | None:
        """The model of that name, or None."""
        return self._one(ModelRecord, name=name)

    def models(self) -> list[ModelRecord]:
        """All models, by name."""
        return self._all(ModelRecord, order=("name",))

    def model_version(self, model: str, version: int) -> ModelVersionRecord:
        """One version of a model.

        Raises:
            NotFoundError: no such version; the message lists those that exist.
        """
        found = self._one(ModelVersionRecord, model=model, version=version)
        if found is None:
            raise NotFoundError(self._missing_version(model, version))
        return found

    def model_versions(self, model: str) -> list[ModelVersionRecord]:
        """All versions of a model, oldest first."""
        return self._all(ModelVersionRecord, order=("version",), model=model)

    def champion(self, model: str) -> ModelVersionRecord | None:
        """The version that is champion, or None."""
        return self._one(ModelVersionRecord, model=model, stage=Stage.CHAMPION)

    def rollout(self, id: str) -> RolloutRecord:
        """One rollout.

        Raises:
            NotFoundError: no such rollout.
        """
        return self._found(self._one(RolloutRecord, id=id), "rollout", id)

    def rollouts(self, model: str | None = None, active_only: bool = False) -> list[RolloutRecord]:
        """Rollouts, oldest first; with `active_only` those that have not ended."""
        phases = _ACTIVE_PHASES if active_only else None
        return self._all(RolloutRecord, order=("created_s", "id"), model=model, phase=phases)

    def approvals(self, model: str, version: int) -> list[ApprovalRecord]:
        """What people said about a version, oldest first; one record a person."""
        return self._all(ApprovalRecord, order=("at_s", "approver"), model=model, version=version)

    def trigger(self, id: str) -> TriggerRecord:
        """One trigger.

        Raises:
            NotFoundError: no such trigger.
        """
        return self._found(self._one(TriggerRecord, id=id), "trigger", id)

    def triggers(self, model: str | None = None, state: str | None = None) -> list[TriggerRecord]:
        """Triggers, oldest first."""
        return self._all(TriggerRecord, order=("created_s", "id"), model=model, state=state)

    def alert(self, id: str) -> AlertRecord:
        """One alert.

        Raises:
            NotFoundError: no such alert.
        """
        return self._found(self._one(AlertRecord, id=id), "alert", id)

    def alerts(self, model: str | None = None, state: str | None = None) -> list[AlertRecord]:
        """Alerts, oldest first."""
        return self._all(AlertRecord, order=("at_s", "id"), model=model, state=state)

    def delivery(self, id: str) -> DeliveryRecord:
        """One delivery of an alert.

        Raises:
            NotFoundError: no such delivery.
        """
        return self._found(self._one(DeliveryRecord, id=id), "delivery", id)

    def deliveries(
        self,
        model: str | None = None,
        state: str | None = None,
        *,
        alert: str | None = None,
        key: str | None = None,
        route: str | None = None,
    ) -> list[DeliveryRecord]:
        """Deliveries of alerts, oldest first, those of one alert in the order of what happened to it."""
        order = ("created_s", "number", "id")
        return self._all(DeliveryRecord, order=order, model=model, state=state, alert=alert, key=key, route=route)

    def deliveries_to_send(self, model: str, now_s: float) -> bool:
        """Whether an attempt is due that nobody is making."""
        table = DELIVERIES
        due = (table.c.model == model, table.c.state == "pending", table.c.next_s <= now_s)
        query = select(table.c.id).where(*due, table.c.lease_until_s <= now_s).limit(1)
        with self._reading() as connection:
            return connection.execute(query).first() is not None

    def silence(self, id: str) -> SilenceRecord:
        """One silence.

        Raises:
            NotFoundError: no such silence.
        """
        return self._found(self._one(SilenceRecord, id=id), "silence", id)

    def silences(self, *, at_s: float | None = None) -> list[SilenceRecord]:
        """Silences, oldest first; with `at_s` those in force then."""
        found = self._all(SilenceRecord, order=("from_s", "id"))
        return [s for s in found if at_s is None or s.from_s <= at_s < s.until_s]

    def route(self, model: str) -> RouteRecord | None:
        """Which versions answer for a model, or None before the first delivery."""
        return self._one(RouteRecord, model=model)

    def api_key(self, id: str) -> ApiKeyRecord:
        """One key, also a revoked one.

        Raises:
            NotFoundError: no such key.
        """
        return self._found(self._one(ApiKeyRecord, id=id), "key", id)

    def api_keys(self) -> list[ApiKeyRecord]:
        """All keys, oldest first, revoked ones too."""
        return self._all(ApiKeyRecord, order=("created_s", "id"))

    def lease(self, name: str) -> LeaseRecord | None:
        """Who holds a lease, or held it last; None before the first holder."""
        return self._one(LeaseRecord, name=name)

    def loop(self, model: str) -> LoopRecord | None:
        """What people said about the retraining of a model, None if nothing."""
        return self._one(LoopRecord, model=model)

    def tally(self, kind: type[Any], *columns: str, model: str) -> dict[tuple[str, ...], int]:
        """How many records of a model there are, by their values in these columns."""
        table = TABLE_OF[kind]
        chosen = [table.c[name] for name in columns]
        query = select(*chosen, func.count()).where(table.c.model == model).group_by(*chosen)
        with self._reading() as connection:
            return {tuple(str(value) for value in row[:-1]): row[-1] for row in connection.execute(query)}

    def audit_length(self) -> int:
        """Events in the audit chain, by its head."""
        with self._reading() as connection:
            return connection.execute(select(AUDIT_HEAD.c.events)).scalar() or 0

    def _one(self, kind: type[Record], **equal: Any) -> Record | None:
        found = self._all(kind, order=(), **equal)
        return found[0] if found else None

    def _all(self, kind: type[Record], *, order: Sequence[str], **equal: Any) -> list[Record]:
        """Records whose columns have the values of `equal`, or one of them if it is a tuple; None means any value."""
        table = TABLE_OF[kind]
        conditions = [_equals(table.c[name], value) for name, value in equal.items() if value is not None]
        query = select(table).where(and_(True, *conditions)).order_by(*(table.c[name] for name in order))
        with self._reading() as connection:
            return [kind(**row._mapping) for row in connection.execute(query)]

    def _found(self, record: Record | None, noun: str, id: str) -> Record:
        if record is None:
            raise NotFoundError(f"expected the id of a {noun}, found {id!r}, which names none")
        return record

    def _missing_version(self, model: str, version: int) -> str:
        versions = [record.version for record in self.model_versions(model)]
        if versions:
            return f"model {model!r} has no version {version}; there is {_newest(versions)}"
        models = [record.name for record in self.models()]
        if model in models:
            return f"model {model!r} has no version {version}; none was trained yet"
        return f"there is no model {model!r}; there is {_newest(models) or 'none yet'}"


def _equals(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    return column.in_(value) if isinstance(value, tuple) else column == value


def _newest(names: Sequence[object]) -> str:
    hidden = len(names) - _LISTED
    return ("..., " if hidden > 0 else "") + ", ".join(str(name) for name in names[-_LISTED:])
