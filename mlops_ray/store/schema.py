"""The tables: one per record, with a column per field, and two for the audit chain."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Enum,
    Index,
    MetaData,
    Table,
    Text,
    inspect,
    text,
)
from sqlalchemy.schema import CreateColumn

from mlops_ray.store.column_types import Json, Names
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

__all__ = [
    "ALERTS",
    "API_KEYS",
    "APPROVALS",
    "AUDIT_EVENTS",
    "AUDIT_HEAD",
    "DELIVERIES",
    "LEASES",
    "LOOPS",
    "METADATA",
    "MODELS",
    "MODEL_VERSIONS",
    "ROLLOUTS",
    "ROUTES",
    "SILENCES",
    "TABLE_OF",
    "TRIGGERS",
    "add_missing_columns",
]


METADATA = MetaData()


def _key(name: str, kind: type[Text] | type[BigInteger] = Text) -> Column[Any]:
    return Column(name, kind, primary_key=True, autoincrement=False)


def _column(name: str, kind: Any = Text, *, nullable: bool = False) -> Column[Any]:
    return Column(name, kind, nullable=nullable)


def _added(name: str, kind: Any) -> Column[Any]:
    """A column of numbers that older stores do not have: rows from before get 0."""
    return Column(name, kind, nullable=False, server_default=text("0"))


def _added_text(name: str) -> Column[Any]:
    """The same of text: rows from before get an empty one."""
    return Column(name, Text, nullable=False, server_default=text("''"))


_STAGE = Enum(Stage, native_enum=False, length=20, values_callable=lambda stages: [s.value for s in stages])

MODELS = Table("models", METADATA, _key("name"), _column("spec_json"), _column("updated_s", Double))
MODEL_VERSIONS = Table(
    "model_versions",
    METADATA,
    _key("model"),
    _key("version", BigInteger),
    _column("digest"),
    _column("bundle_uri"),
    _column("run_id"),
    _column("dataset"),
    _column("code", Json),
    _column("metrics", Json),
    _column("gates", Json),
    _column("verdict"),
    _column("stage", _STAGE),
    _column("created_s", Double),
    Column("training", Json, nullable=False, server_default=text("'{}'")),
)
ROLLOUTS = Table(
    "rollouts",
    METADATA,
    _key("id"),
    _column("model"),
    _column("version", BigInteger),
    _column("previous", BigInteger, nullable=True),
    _column("phase"),
    _column("state", Json),
    _column("revision", BigInteger),
    _column("created_s", Double),
    _column("updated_s", Double),
)
APPROVALS = Table(
    "approvals",
    METADATA,
    _key("model"),
    _key("version", BigInteger),
    _key("approver"),
    _column("approved", Boolean),
    _column("reason"),
    _column("at_s", Double),
)
TRIGGERS = Table(
    "triggers",
    METADATA,
    _key("id"),
    _column("model"),
    _column("cause"),
    _column("evidence", Json),
    _column("state"),
    _column("submission_id", nullable=True),
    _column("reason"),
    _column("created_s", Double),
    _column("updated_s", Double),
    _added_text("key"),
    _added_text("guard"),
    Column("attempt", BigInteger, nullable=False, server_default=text("1")),
    _added("submissions", BigInteger),
    _added("next_s", Double),
)
ALERTS = Table(
    "alerts",
    METADATA,
    _key("id"),
    _column("model"),
    _column("version", BigInteger, nullable=True),
    _column("kind"),
    _column("severity"),
    _column("message"),
    _column("features", Names),
    _column("evidence", Json),
    _column("state"),
    _column("at_s", Double),
    _column("updated_s", Double),
)
ROUTES = Table(
    "routes",
    METADATA,
    _key("model"),
    _column("epoch", BigInteger),
    _column("champion", BigInteger, nullable=True),
    _column("canary", BigInteger, nullable=True),
    _column("share", Double),
    _column("salt"),
    _column("previous", BigInteger, nullable=True),
    _column("updated_s", Double),
    _added("mirror", Double),
    _added("paired", Double),
)
API_KEYS = Table(
    "api_keys",
    METADATA,
    _key("id"),
    _column("name"),
    _column("roles", Names),
    _column("hash"),
    _column("requests_per_s", Double, nullable=True),
    _column("created_s", Double),
    _column("revoked_s", Double, nullable=True),
)
DELIVERIES = Table(
    "alert_deliveries",
    METADATA,
    _key("id"),
    _column("alert"),
    _column("number", BigInteger),
    _column("model"),
    _column("key"),
    _column("route"),
    _column("event"),
    _column("severity"),
    _column("content", Json),
    _column("state"),
    _column("hold"),
    _column("message"),
    _column("attempts", BigInteger),
    _column("first_attempt_s", Double, nullable=True),
    _column("due_s", Double),
    _column("next_s", Double),
    _column("owner"),
    _column("lease_until_s", Double),
    _column("reason"),
    _column("created_s", Double),
    _column("updated_s", Double),
    Index("alert_deliveries_to_send", "model", "state", "next_s"),
    Index("alert_deliveries_of_key", "key", "route"),
)
SILENCES = Table(
    "alert_silences",
    METADATA,
    _key("id"),
    _column("model", nullable=True),
    _column("kind", nullable=True),
    _column("feature", nullable=True),
    _column("reason"),
    _column("author"),
    _column("from_s", Double),
    _column("until_s", Double),
)
LEASES = Table(
    "leases",
    METADATA,
    _key("name"),
    _column("owner"),
    _column("epoch", BigInteger),
    _column("expires_s", Double),
    _column("updated_s", Double),
)
LOOPS = Table(
    "loops",
    METADATA,
    _key("model"),
    _column("paused", Boolean),
    _column("reason"),
    _column("by"),
    _column("resumed_s", Double),
    _column("updated_s", Double),
)
AUDIT_EVENTS = Table(
    "audit_events",
    METADATA,
    _key("seq", BigInteger),
    _column("at_s", Double),
    _column("actor"),
    _column("kind"),
    _column("subject"),
    _column("payload"),
    _column("previous_hash"),
    _column("hash"),
)
AUDIT_HEAD = Table("audit_head", METADATA, _key("id", BigInteger), _column("events", BigInteger), _column("hash"))


def add_missing_columns(connection: Connection) -> None:
    """Bring tables that an older version made up to date; only columns with a default can be missing there."""
    inspector = inspect(connection)
    for table in METADATA.sorted_tables:
        known = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                described = CreateColumn(column).compile(connection)
                connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {described}"))


TABLE_OF: dict[type, Table] = {
    ModelRecord: MODELS,
    ModelVersionRecord: MODEL_VERSIONS,
    RolloutRecord: ROLLOUTS,
    ApprovalRecord: APPROVALS,
    TriggerRecord: TRIGGERS,
    AlertRecord: ALERTS,
    RouteRecord: ROUTES,
    ApiKeyRecord: API_KEYS,
    DeliveryRecord: DELIVERIES,
    SilenceRecord: SILENCES,
    LeaseRecord: LEASES,
    LoopRecord: LOOPS,
}
