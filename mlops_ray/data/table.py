"""The versions of one dataset: tags v1, v2, … on an Iceberg table, and what each was made from."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.table import Table
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import Snapshot

from mlops_ray.data.catalog import open_catalog
from mlops_ray.data.contents import Contents, FileDigest
from mlops_ray.data.source import Identity, SourceObject, fingerprint
from mlops_ray.data.version import DatasetVersion, Reference, parse_reference
from mlops_ray.errors import SourceError, UnknownVersionError
from mlops_ray.lake import Lake
from mlops_ray.spec import ModelSpec, Workspace

__all__ = [
    "PREFIX",
    "DatasetTable",
    "ancestry",
    "branch_head",
    "committed_s",
    "head_of",
    "published_key",
    "summary_of",
    "version_tags",
]

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

    @classmethod
    def named(cls, table: str, workspace: Workspace) -> Self:
        """The dataset of a table, `namespace.name`."""
        return cls(table, catalog=workspace.catalog, lake=workspace.lake)

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
            return list(pool.map(lambda tag: self._tagged(table, *tag), sorted(version_tags(table).items())))

    def resolve(self, ref: str) -> DatasetVersion:
        """The version behind a reference; see `mlops_ray.data.version.parse_reference` for the forms.

        A time leads to the version with the largest number among those committed at or before it.

        Raises:
            UnknownVersionError: there is no such version; it lists those there are.
        """
        wanted = parse_reference(ref, self.table)
        table = self.load()
        if table is None or not version_tags(table):
            raise UnknownVersionError(f"{self.table} has no version yet; `mlops-ray ingest` makes one")
        snapshot_id = _find(table, wanted)
        snapshot = table.snapshot_by_id(snapshot_id) if snapshot_id is not None else None
        if snapshot is None:
            raise UnknownVersionError(f"{self.table} has no version {ref!r}; it has {_shown(table)}")
        return self._version(table, snapshot)

    def names(self) -> dict[str, tuple[str, str]]:
        """Name -> (`tag` or `branch`, snapshot id) of everything that people named; neither v1, v2, … nor main."""
        table = self.load()
        return {name: (kind, str(snapshot_id)) for name, kind, snapshot_id in _named(table)} if table else {}

    def files(self, version: DatasetVersion) -> tuple[FileDigest, ...]:
        """The data files of a version whose digests were kept when they were written, its ancestors' first.

        Raises:
            UnknownVersionError: the version is not in the catalog (any more).
            SourceError: a list of files is gone, or not the one that was committed.
        """
        table = self.load()
        if table is None or table.snapshot_by_id(int(version.snapshot_id)) is None:
            raise UnknownVersionError(f"{version.ref} is not in the catalog any more")
        contents = self._contents_up_to(table, int(version.snapshot_id))
        return tuple(file for content in contents for file in content.files)

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
        return tuple(s for content in self._contents_up_to(table, snapshot_id) for s in content.sources)

    def _contents_up_to(self, table: Table, snapshot_id: int | None) -> list[Contents]:
        ours = [s for s in ancestry(table, snapshot_id) if f"{PREFIX}sources.uri" in summary_of(s)]
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(self._contents, reversed(ours)))

    def _tagged(self, table: Table, number: int, snapshot_id: int) -> DatasetVersion:
        snapshot = table.snapshot_by_id(snapshot_id)
        if snapshot is None:
            raise UnknownVersionError(f"{self.table}@v{number}: its snapshot has expired")
        return self._version(table, snapshot)

    def _version(self, table: Table, snapshot: Snapshot) -> DatasetVersion:
        summary = summary_of(snapshot)
        if f"{PREFIX}digest" not in summary:
            raise UnknownVersionError(
                f"{self.table}@snapshot:{snapshot.snapshot_id}: expected what `mlops-ray ingest` made, found what "
                "another writer did"
            )
        numbers = {snapshot_id: number for number, snapshot_id in version_tags(table).items()}
        number = numbers.get(snapshot.snapshot_id)
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
            sources=self._contents(snapshot).sources,
            committed_s=committed_s(table, snapshot, number),
            files_digest=summary.get(f"{PREFIX}files.digest"),
            report_uri=Lake(self.lake).uri_of(f"{report}.html") if report is not None else None,
        )

    def _contents(self, snapshot: Snapshot) -> Contents:
        summary = summary_of(snapshot)
        path = summary[f"{PREFIX}sources.uri"]
        contents = Contents.from_bytes(Lake(self.lake).read_bytes(path))
        expected = summary[f"{PREFIX}sources.digest"], summary.get(f"{PREFIX}files.digest", contents.files_digest)
        if (fingerprint(contents.sources), contents.files_digest) != expected:
            raise SourceError(f"{self.table}: the list of source files {path} is not the one that was committed")
        return contents


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


def branch_head(table: Table, branch: str) -> int | None:
    """Snapshot id a branch points to, None where there is no branch of that name."""
    ref = table.metadata.refs.get(branch)
    return ref.snapshot_id if ref is not None and ref.snapshot_ref_type is SnapshotRefType.BRANCH else None


def published_key(number: int) -> str:
    """Property of the table with the Unix time when a version that was made on a branch was published."""
    return f"{PREFIX}published.v{number}"


def committed_s(table: Table, snapshot: Snapshot, number: int | None) -> float:
    """Unix time when a snapshot became the version `number`; when it was made, if it is none."""
    made = summary_of(snapshot).get(f"{PREFIX}committed_s", snapshot.timestamp_ms / 1000)
    return float(made if number is None else table.properties.get(published_key(number), made))


def ancestry(table: Table, snapshot_id: int | None) -> Iterator[Snapshot]:
    """A snapshot and its ancestors, newest first, as far as they are known."""
    while snapshot_id is not None:
        snapshot = table.snapshot_by_id(snapshot_id)
        if snapshot is None:
            return
        yield snapshot
        snapshot_id = snapshot.parent_snapshot_id


def _find(table: Table, wanted: Reference) -> int | None:
    tags = version_tags(table)
    if wanted.number is not None:
        return tags.get(wanted.number)
    if wanted.snapshot_id is not None:
        return int(wanted.snapshot_id)
    if wanted.name is not None:
        return next((snapshot_id for name, _, snapshot_id in _named(table) if name == wanted.name), None)
    if wanted.at_s is None:
        return tags[max(tags)]
    found = [(n, table.snapshot_by_id(snapshot_id)) for n, snapshot_id in tags.items()]
    at_s = wanted.at_s
    before = [n for n, snapshot in found if snapshot is not None and committed_s(table, snapshot, n) <= at_s]
    return tags[max(before)] if before else None


def _named(table: Table) -> list[tuple[str, str, int]]:
    ours = {"main", *(f"v{number}" for number in version_tags(table))}
    refs = sorted(table.metadata.refs.items())
    return [(name, ref.snapshot_ref_type.value, ref.snapshot_id) for name, ref in refs if name not in ours]


def _shown(table: Table) -> str:
    numbers = sorted(version_tags(table))
    versions = f"v{numbers[0]}" if len(numbers) == 1 else f"v{numbers[0]} to v{numbers[-1]} ({len(numbers)} versions)"
    first = table.snapshot_by_id(version_tags(table)[numbers[0]])
    since = f", the first of {_iso(committed_s(table, first, numbers[0]))}" if first is not None else ""
    names = [f"{kind} {name}" for name, kind, _ in _named(table)]
    return ", ".join([versions + since, *names])


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")
