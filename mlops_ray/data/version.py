"""A dataset version: one immutable state of a table, by number, snapshot and digest."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from mlops_ray.data.source import SourceObject
from mlops_ray.errors import DataError, UnknownVersionError

__all__ = [
    "DatasetVersion",
    "Reference",
    "check_ref_name",
    "parse_reference",
    "parse_time",
    "split_reference",
    "version_digest",
]

NAMESPACE = "mlops"  # of a table whose name stands without one


@dataclass(frozen=True)
class DatasetVersion:
    """One immutable state of a dataset's table."""

    table: str  # namespace.name
    number: int | None  # 1, 2, …, also the tag v1, v2, … of the snapshot; None: on a branch, not published
    snapshot_id: str  # a decimal; beyond what a JSON number holds
    parent_snapshot_id: str | None
    rows: int  # in the whole version
    added_rows: int
    quarantined_rows: int  # of the files this version added
    quarantine_uri: str | None  # folder of Parquet files with the columns as found, _reason and _source
    digest: str  # sha256 over the parent's digest, schema, rules and the contents of the files added
    schema: Mapping[str, str]  # column -> Iceberg type
    sources: tuple[SourceObject, ...]  # the files this version added
    committed_s: float  # when it became a version; what is only on a branch: when it was made
    files_digest: str | None = None  # of the list of data files added, sha256 each; None before such lists were kept
    report_uri: str | None = None  # page that tells how the added rows were validated; .json beside it

    @property
    def ref(self) -> str:
        """The name to write down, `mlops.churn@v3`; of what is only on a branch, `mlops.churn@snapshot:123`."""
        return f"{self.table}@{f'v{self.number}' if self.number is not None else f'snapshot:{self.snapshot_id}'}"

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
    """What a reference asks for: one of these, or with none of them the latest version."""

    number: int | None = None
    snapshot_id: str | None = None
    at_s: float | None = None  # the version that was the latest at this Unix time
    name: str | None = None  # of a tag or a branch


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_NUMBER = re.compile(r"v(\d+)", re.IGNORECASE)
_RESERVED = ("latest", "main", "head", "snapshot")
_FORMS = (
    "latest, v<number>, snapshot:<id>, a time with its zone (2026-11-01T00:00Z), or the name of a tag or branch, "
    "each also after '<table>@'"
)


def parse_reference(text: str, table: str) -> Reference:
    """`latest` (or `main`), `v3`, `snapshot:123`, an ISO time, or a name; each also after `namespace.table@`.

    A table of the namespace `mlops` may be called without it. The forms exclude each other: a name starts with a
    letter (a time with a digit), holds no colon, and is none of the reserved words.

    Raises:
        UnknownVersionError: no such form, or of another table.

    >>> parse_reference("churn@v3", "mlops.churn").number
    3
    """
    head, at, wanted = text.strip().rpartition("@")
    if at and head not in (table, table.removeprefix(f"{NAMESPACE}.")):
        raise UnknownVersionError(f"dataset reference {text!r}: expected the table {table}, found {head or 'none'}")
    if wanted in ("latest", "main"):
        return Reference()
    if re.fullmatch(r"v[1-9]\d*", wanted):
        return Reference(number=int(wanted[1:]))
    if re.fullmatch(r"snapshot:\d+", wanted):
        return Reference(snapshot_id=wanted.removeprefix("snapshot:"))
    if re.match(r"\d{4}-", wanted):
        return Reference(at_s=parse_time(wanted))
    if not _is_name(wanted):
        raise UnknownVersionError(f"dataset reference {text!r}: expected {_FORMS.replace('<table>', table)}")
    return Reference(name=wanted)


def parse_time(text: str) -> float:
    """Unix time of an ISO 8601 time with a zone.

    Raises:
        UnknownVersionError: it is none, or names no zone.

    >>> parse_time("1970-01-01T00:01Z")
    60.0
    """
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        found = "no time" if time is None else "one without a zone"
        raise UnknownVersionError(f"time {text!r}: expected a form like 2026-11-01T00:00Z, found {found}")
    return time.timestamp()


def check_ref_name(name: str) -> None:
    """Refuse what cannot name a tag or branch, because a reference could be read in two ways.

    Raises:
        DataError: a reserved word, a version number, or other characters.
    """
    if not _is_name(name):
        raise DataError(
            f"name {name!r}: expected a letter, then at most 63 letters, digits, '.', '_' or '-'; "
            f"v<number> and {', '.join(_RESERVED)} are taken"
        )


def _is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text)) and not _NUMBER.fullmatch(text) and text.lower() not in _RESERVED


def split_reference(text: str) -> tuple[str, str]:
    """Table and reference in it of `churn`, `churn@v3` or `shop.orders@audit`; `latest` where none is named.

    Raises:
        UnknownVersionError: the first part cannot be a table.

    >>> split_reference("churn@v3"), split_reference("shop.orders")
    (('mlops.churn', 'v3'), ('shop.orders', 'latest'))
    """
    name, _, wanted = text.strip().partition("@")
    table = name if "." in name else f"{NAMESPACE}.{name}"
    if not re.fullmatch(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*", table):
        raise UnknownVersionError(f"dataset {text!r}: expected <name> or <namespace>.<table>, with @<reference> or not")
    return table, wanted or "latest"
