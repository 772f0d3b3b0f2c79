"""The versions of one dataset: tags v1, v2, … on an Iceberg table, and what each was made from."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from mlops_ray.data.catalog import open_catalog
from mlops_ray.data.source import Identity, SourceObject, fingerprint
from mlops_ray.data.version import DatasetVersion, parse_reference
from mlops_ray.errors import SourceError, UnknownVersionError
from mlops_ray.lake import Lake
from mlops_ray.spec import ModelSpec, Workspace

__all__ = ["PREFIX", "DatasetTable", "head_of", "summary_of", "version_tags"]

PREFIX = "mlops."  # of our keys in a snapshot's summary


@dataclass(frozen=True)
class DatasetTable:
    """A dataset by name; reads the catalog anew with every call, so that it sees what others committed."""

    table: str  # namespace.name
    catalog: str = field(kw_only=True)  # SQLAlchemy URL
    lake: str = field(kw_only=True)  # URI

    @classmethod
    def of(cls, spec: ModelSpec, workspace: Workspace) -> Self:
        """The dataset a spec names."""
        return cls(spec.table, catalog=workspace.catalog, lake=workspace.lake)

    def load(self) -> Table | None:
        """The Iceberg table, None before the first version."""
        try:
            return open_catalog(self.catalog, Lake(self.lake)).load_table(self.table)
        except (NoSuchTableError, NoSuchNamespaceError):
            return None

    def versions(self) -> list[DatasetVersion]:
        """All versions, oldest first."""
        table = self.load()
        if table is None:
            return []
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda number: self._version(table, number), sorted(version_tags(table))))

    def resolve(self, ref: str) -> DatasetVersion:
        """The version behind `latest`, `v3` or `snapshot:<id>`, each also after `namespace.table@`.

        Raises:
            UnknownVersionError: there is no such version; it lists those there are.
        """
        wanted = parse_reference(ref, self.table)
        table = self.load()
        tags = version_tags(table) if table is not None else {}
        if table is None or not tags:
            raise UnknownVersionError(f"{self.table} has no version yet; `mlops-ray ingest` makes one")
        number = _numbered(tags, wanted.number, wanted.snapshot_id)
        if number is None or table.snapshot_by_id(tags[number]) is None:
            raise UnknownVersionError(f"{self.table} has no version {ref!r}; it has {_shown(sorted(tags))}")
        return self._version(table, number)

    def history(self, version: DatasetVersion) -> tuple[SourceObject, ...]:
        """The files a version was made from, its ancestors' first."""
        table = self.load()
        if table is None or table.snapshot_by_id(int(version.snapshot_id)) is None:
            raise UnknownVersionError(f"{version.ref} is not in the catalog any more")
        return self.sources_up_to(table, int(version.snapshot_id))

    def consumed(self) -> set[Identity]:
        """(uri, version_id, etag) of every file that is in the latest version."""
        table = self.load()
        return {s.identity for s in self.sources_up_to(table, head_of(table))} if table is not None else set()

    def sources_up_to(self, table: Table, snapshot_id: int | None) -> tuple[SourceObject, ...]:
        """The files of a snapshot and its ancestors, oldest first."""
        ours = [s for s in _ancestry(table, snapshot_id) if f"{PREFIX}sources.uri" in summary_of(s)]
        with ThreadPoolExecutor(8) as pool:
            lists = list(pool.map(self._sources, reversed(ours)))
        return tuple(source for sources in lists for source in sources)

    def _version(self, table: Table, number: int) -> DatasetVersion:
        snapshot = table.snapshot_by_id(version_tags(table)[number])
        if snapshot is None:
            raise UnknownVersionError(f"{self.table}@v{number}: its snapshot has expired")
        summary = summary_of(snapshot)
        report = summary.get(f"{PREFIX}report.path")
        schema = table.schemas()[snapshot.schema_id if snapshot.schema_id is not None else 0]
        return DatasetVersion(
            table=self.table,
            number=number,
            snapshot_id=str(snapshot.snapshot_id),
            parent_snapshot_id=None if snapshot.parent_snapshot_id is None else str(snapshot.parent_snapshot_id),
            rows=int(summary["total-records"]),
            added_rows=int(summary.get("added-records", 0)),
            quarantined_rows=int(summary[f"{PREFIX}quarantined"]),
            quarantine_uri=summary.get(f"{PREFIX}quarantine.uri"),
            digest=summary[f"{PREFIX}digest"],
            schema={f.name: str(f.field_type) for f in schema.fields},
            sources=self._sources(snapshot),
            committed_s=float(summary[f"{PREFIX}committed_s"]),
            report_uri=Lake(self.lake).uri_of(f"{report}.html") if report is not None else None,
        )

    def _sources(self, snapshot: Snapshot) -> tuple[SourceObject, ...]:
        summary = summary_of(snapshot)
        path = summary[f"{PREFIX}sources.uri"]
        content = json.loads(Lake(self.lake).read_bytes(path))
        sources = tuple(SourceObject.from_json(item) for item in content)
        if fingerprint(sources) != summary[f"{PREFIX}sources.digest"]:
            raise SourceError(f"{self.table}: the list of source files {path} is not the one that was committed")
        return sources


def version_tags(table: Table) -> dict[int, int]:
    """Version number -> snapshot id."""
    tags = {name[1:]: ref.snapshot_id for name, ref in table.metadata.refs.items() if name.startswith("v")}
    return {int(number): snapshot_id for number, snapshot_id in tags.items() if number.isdigit()}


def summary_of(snapshot: Snapshot) -> dict[str, str]:
    """Everything a snapshot's summary says."""
    summary: Any = snapshot.summary
    return dict(summary.additional_properties) if summary is not None else {}


def head_of(table: Table) -> int | None:
    """Snapshot id of the latest version, None in a table without one."""
    snapshot = table.current_snapshot()
    return None if snapshot is None else snapshot.snapshot_id


def _ancestry(table: Table, snapshot_id: int | None) -> Iterator[Snapshot]:
    while snapshot_id is not None:
        snapshot = table.snapshot_by_id(snapshot_id)
        if snapshot is None:
            return
        yield snapshot
        snapshot_id = snapshot.parent_snapshot_id


def _numbered(tags: dict[int, int], number: int | None, snapshot_id: str | None) -> int | None:
    if snapshot_id is not None:
        return next((n for n, tagged in sorted(tags.items()) if tagged == int(snapshot_id)), None)
    return max(tags) if number is None else number if number in tags else None


def _shown(numbers: list[int]) -> str:
    return f"v{numbers[0]}" if len(numbers) == 1 else f"v{numbers[0]} to v{numbers[-1]} ({len(numbers)} versions)"
