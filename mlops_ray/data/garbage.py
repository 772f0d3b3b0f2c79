"""What ingests that were killed or refused left in the lake, and how it is removed without touching any version.

Looked at are only places that an ingest writes to: folders of attempts with data files, their lists of sources, their
statistics, reports and keys, their folders of bad rows, and the metadata files of pyiceberg. First the lake is listed,
then the catalog is read, so that what is committed in between is seen; what is young is spared, because its ingest may
still run.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table

from mlops_ray.data.catalog import location_of
from mlops_ray.data.table import PREFIX, summary_of
from mlops_ray.errors import SourceError
from mlops_ray.lake import Lake, LakeFile

__all__ = ["Kind", "Leftover", "find_leftovers", "remove_leftovers"]

Kind = Literal["data", "sources", "statistics", "reports", "keys", "quarantine", "metadata"]

_TABLE = r"(?P<table>[^/]+/[^/]+)"
_PLACES: dict[Kind, re.Pattern[str]] = {
    "data": re.compile(rf"(?P<unit>warehouse/{_TABLE}/data/(?P<attempt>[0-9a-f]{{32}}))/.+"),
    "sources": re.compile(rf"(?P<unit>warehouse/{_TABLE}/sources/\.?(?P<attempt>[0-9a-f]{{32}})\.json[^/]*)"),
    "statistics": re.compile(rf"(?P<unit>warehouse/{_TABLE}/statistics/\.?(?P<attempt>[0-9a-f]{{32}})\.json[^/]*)"),
    "reports": re.compile(rf"(?P<unit>warehouse/{_TABLE}/reports/\.?(?P<attempt>[0-9a-f]{{32}})\.(?:json|html)[^/]*)"),
    "keys": re.compile(rf"(?P<unit>warehouse/{_TABLE}/keys/(?P<attempt>[0-9a-f]{{32}}))/.+"),
    "quarantine": re.compile(r"(?P<unit>quarantine/(?P<table>[^/]+)/[^/]+/(?P<attempt>[0-9a-f]{12}))/.+"),
    "metadata": re.compile(rf"(?P<unit>warehouse/{_TABLE}/metadata/[^/]+\.(?:json|avro))"),
}


@dataclass(frozen=True)
class Leftover:
    """A folder or a file that no snapshot refers to."""

    path: str  # relative to the lake
    kind: Kind
    table: str  # namespace.name
    files: int
    size_bytes: int


@dataclass(frozen=True)
class _Unit:
    """What is removed together or not at all."""

    path: str
    kind: Kind
    table: str
    attempt: str  # its id, as far as all places have it; empty for metadata
    files: tuple[LakeFile, ...]


def find_leftovers(
    catalog: Catalog, lake: Lake, *, older_than_s: float, now_s: float, table: str | None = None
) -> list[Leftover]:
    """What nothing in the catalog refers to, of one table or of all.

    An attempt is as young as the newest of its files, wherever they lie. Where a table has metadata in the lake but is
    not in the catalog, another catalog may know it, and nothing of it is named.

    Args:
        catalog: all its tables are read, for one may refer to files of another.
        lake: where the tables lie.
        older_than_s: what was written within so many seconds is spared; more than the longest ingest takes.
        now_s: Unix time.
        table: `namespace.name`; all by default.

    Raises:
        SourceError: something of a table cannot be read, so that nobody can say what it refers to.
    """
    prefixes = ("warehouse", "quarantine") if table is None else (f"warehouse/{_folder(table)}", f"quarantine/{table}")
    units = list(_units(file for prefix in prefixes for file in lake.files(prefix)))
    newest: dict[str, float] = defaultdict(float)
    for unit in units:
        key = unit.attempt or unit.path
        newest[key] = max(newest[key], *(file.changed_s for file in unit.files))
    old = [unit for unit in units if newest[unit.attempt or unit.path] < now_s - older_than_s]
    if not old:
        return []
    try:
        tables = list(_tables(catalog))
        reachable = {path for found in tables for path in _reachable(found, lake)}
    except OSError as error:
        raise SourceError(
            f"expected to read what every table refers to, so nothing is removed; found: {error}"
        ) from None
    # A table whose files lie elsewhere (a home that was copied) is none of this lake's.
    known = {".".join(found.name()) for found in tables if found.metadata_location.startswith(location_of(lake, ""))}
    foreign = {unit.table for unit in units if unit.path.endswith(".metadata.json")} - known
    return [
        Leftover(unit.path, unit.kind, unit.table, len(unit.files), sum(file.size_bytes for file in unit.files))
        for unit in old
        if unit.table not in foreign and not _held(unit, reachable)
    ]


def remove_leftovers(lake: Lake, leftovers: Iterable[Leftover]) -> None:
    """Delete them; what is gone already is fine."""
    for leftover in leftovers:
        lake.remove(leftover.path)


def _held(unit: _Unit, reachable: set[str]) -> bool:
    return unit.path in reachable or any(file.path in reachable for file in unit.files)


def _units(files: Iterable[LakeFile]) -> Iterator[_Unit]:
    grouped: dict[tuple[str, Kind, str, str], list[LakeFile]] = defaultdict(list)
    for file in files:
        for kind, place in _PLACES.items():
            found = place.fullmatch(file.path)
            if found is not None:
                attempt = found.groupdict().get("attempt") or ""
                key = (found["unit"], kind, found["table"].replace("/", "."), attempt[:12])
                grouped[key].append(file)
    for (path, kind, table, attempt), members in grouped.items():
        yield _Unit(path, kind, table, attempt, tuple(members))


def _tables(catalog: Catalog) -> Iterator[Table]:
    for namespace in catalog.list_namespaces():
        for identifier in catalog.list_tables(namespace):
            try:
                yield catalog.load_table(identifier)
            except NoSuchTableError:  # dropped a moment ago; its files are left alone, since they have metadata
                continue


def _reachable(table: Table, lake: Lake) -> Iterator[str]:
    """Paths in the lake of all that any snapshot of a table needs, and of its metadata."""
    metadata, root = table.metadata, location_of(lake, "")
    locations = [table.metadata_location, *(entry.metadata_file for entry in metadata.metadata_log)]
    locations += [statistics.statistics_path for statistics in metadata.statistics]
    locations += [statistics.statistics_path for statistics in metadata.partition_statistics]
    manifests: dict[str, ManifestFile] = {}
    for snapshot in metadata.snapshots:
        summary = summary_of(snapshot)
        locations.append(snapshot.manifest_list)
        manifests |= {manifest.manifest_path: manifest for manifest in snapshot.manifests(table.io)}
        yield from (summary[key] for key in (f"{PREFIX}sources.uri", f"{PREFIX}statistics.uri") if key in summary)
        if f"{PREFIX}report.path" in summary:
            yield from (f"{summary[f'{PREFIX}report.path']}.{form}" for form in ("json", "html"))
        if f"{PREFIX}quarantine.uri" in summary:
            yield Lake(summary[f"{PREFIX}quarantine.uri"]).root.removeprefix(f"{lake.root}/")
    with ThreadPoolExecutor(8) as pool:
        entries = pool.map(lambda m: m.fetch_manifest_entry(table.io, discard_deleted=False), manifests.values())
        locations += [*manifests, *(entry.data_file.file_path for found in entries for entry in found)]
    yield from (location.removeprefix(root) for location in locations)


def _folder(table: str) -> str:
    return table.replace(".", "/")
