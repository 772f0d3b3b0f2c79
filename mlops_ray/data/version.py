"""A dataset version: one immutable state of a table, by number, snapshot and digest."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from mlops_ray.data.source import SourceObject
from mlops_ray.errors import UnknownVersionError

__all__ = ["DatasetVersion", "Reference", "parse_reference", "version_digest"]


@dataclass(frozen=True)
class DatasetVersion:
    """One immutable state of a dataset's table."""

    table: str  # namespace.name
    number: int  # 1, 2, …; the tag of the snapshot is v1, v2, …
    snapshot_id: str  # a decimal; beyond what a JSON number holds
    parent_snapshot_id: str | None
    rows: int  # in the whole version
    added_rows: int
    quarantined_rows: int  # of the files this version added
    quarantine_uri: str | None  # folder of Parquet files with the columns as found, _reason and _source
    digest: str  # sha256 over the parent's digest, schema, rules and the contents of the files added
    schema: Mapping[str, str]  # column -> Iceberg type
    sources: tuple[SourceObject, ...]  # the files this version added
    committed_s: float
    report_uri: str | None = None  # page that tells how the added rows were validated; .json beside it

    @property
    def ref(self) -> str:
        """The name to write down, `mlops.churn@v3`."""
        return f"{self.table}@v{self.number}"

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self) | {
            "schema": dict(self.schema),
            "sources": [source.to_json() for source in self.sources],
            "ref": self.ref,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        fields = {key: value for key, value in content.items() if key != "ref"}
        return cls(**fields | {"sources": tuple(SourceObject.from_json(s) for s in content["sources"])})


def version_digest(
    *,
    parent: str | None,
    schema: Mapping[str, str],
    rules: Mapping[str, Any],
    sources: Sequence[SourceObject],
    added_rows: int,
) -> str:
    """What a version holds, wherever and whenever it was made.

    Two tables fed with the same file contents, in the same batches under the same rules, have equal digests.
    """
    content = {
        "parent": parent,
        "schema": sorted(schema.items()),
        "rules": rules,
        "sources": sorted(source.sha256 for source in sources),
        "added_rows": added_rows,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class Reference:
    """What a reference asks for: a number, a snapshot, or with neither the latest."""

    number: int | None = None
    snapshot_id: str | None = None


_REFERENCE = re.compile(r"(?:(?P<table>[^@]+)@)?(?:latest|v(?P<number>[1-9]\d*)|snapshot:(?P<snapshot>\d+))")


def parse_reference(text: str, table: str) -> Reference:
    """`latest`, `v3` or `snapshot:123`, each also after `namespace.table@`.

    Raises:
        UnknownVersionError: no such form, or of another table.
    """
    match = _REFERENCE.fullmatch(text.strip())
    if match is None:
        raise UnknownVersionError(
            f"dataset reference {text!r}: expected latest, v<number> or snapshot:<id>, also after '{table}@'"
        )
    if match["table"] not in (None, table):
        raise UnknownVersionError(f"dataset reference {text!r}: expected the table {table}, found {match['table']}")
    return Reference(int(match["number"]) if match["number"] else None, match["snapshot"])
