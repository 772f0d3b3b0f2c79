"""Raw files to a dataset version: list, check on Ray Data, quarantine, commit; all of a batch or nothing of it."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pyiceberg.table import Table

from mlops_ray.data.attempt import Attempt, Written
from mlops_ray.data.baseline import baseline_of
from mlops_ray.data.catalog import open_catalog, table_location
from mlops_ray.data.column import Column, columns_of, iceberg_schema
from mlops_ray.data.contents import Contents
from mlops_ray.data.publish import Batch, publish, table_or_new
from mlops_ray.data.rules import check_patterns
from mlops_ray.data.source import SourceObject, fingerprint
from mlops_ray.data.sources import announced, find_sources
from mlops_ray.data.table import PREFIX, DatasetTable, branch_head, summary_of
from mlops_ray.data.version import DatasetVersion, version_digest
from mlops_ray.errors import CommitConflictError, SchemaError, UnknownVersionError, ValidationError
from mlops_ray.lake import Lake, S3Connection
from mlops_ray.spec import ModelSpec, Workspace

__all__ = ["IngestResult", "ignore", "ingest"]


@dataclass(frozen=True)
class IngestResult:
    """What an ingest came to."""

    version: DatasetVersion  # the new one, or the latest when there was nothing new
    committed: bool
    reasons: Mapping[str, int] = field(default_factory=dict)  # "column: what is wrong" -> bad rows
    warnings: tuple[str, ...] = ()  # rules of severity warn that are broken


class _TakenError(CommitConflictError):
    """Another ingest committed some of the same files meanwhile."""


def ignore(message: str) -> None:
    """Show no progress."""


def ingest(
    spec: ModelSpec,
    workspace: Workspace,
    *,
    now_s: float,
    run_id: str,
    branch: str = "main",
    progress: Callable[[str], None] = ignore,
) -> IngestResult:
    """Commit what `spec.data.source` has that no version holds yet as the next version. Needs an initialised Ray.

    On another `branch` than main, which has to be there, the files that the branch does not hold are put on top of
    it; that becomes a version when the branch is published.

    A file is new when its URI, version id and ETag (locally: size and mtime) are; one that was only touched is found
    to be the same by its digest. A file written again is new rows beside the old ones, which stay in their version.
    The rows of a query are new when they are above the largest cursor consumed, or, without a cursor, when the digest
    of all of them is another.

    Raises:
        SourceError: no files, or one that is damaged, empty, or changed while it was read.
        SchemaError: a column is missing or of another type, in a file or in the table there is.
        ValidationError: the batch breaks a rule that blocks; the message names a report, which stays with the bad rows.
        UnknownVersionError: no branch of that name.
        CommitConflictError: other writers were first too often. After any of these the table is as it was.
    """
    check_patterns(columns_of(spec))
    _check_names(columns_of(spec), spec.data.checks.unique)
    for _ in range(3):
        try:
            return _ingest_once(spec, workspace, now_s=now_s, run_id=run_id, branch=branch, progress=progress)
        except _TakenError:
            progress("another ingest committed some of these files first; looking again")
    raise CommitConflictError(f"{spec.table}: other ingests of {spec.data.source} were first three times; run again")


def _ingest_once(
    spec: ModelSpec, workspace: Workspace, *, now_s: float, run_id: str, branch: str, progress: Callable[[str], None]
) -> IngestResult:
    dataset, lake = DatasetTable.of(spec, workspace), Lake(workspace.lake)
    seen = dataset.load()
    head = _head(dataset, seen, branch)
    history = _history(dataset, seen, head, columns_of(spec))
    listed = find_sources(spec.data, history, S3Connection.of(os.environ))
    consumed = {source.identity for source in history}
    new = [source for source in listed if source.identity not in consumed]
    if not new:
        progress(f"{spec.table}: none of {len(listed)} files is new")
        return IngestResult(dataset.resolve(branch), committed=False)
    progress(f"{spec.table}: checking {announced(new, spec.data)}")
    catalog = open_catalog(workspace.catalog, lake)
    schema, location = iceberg_schema(columns_of(spec)), table_location(spec.table, lake)
    attempt = Attempt(spec, lake, run_id)
    baseline = baseline_of(spec, workspace, seen, head, columns_of(spec))
    try:
        transaction = table_or_new(catalog, spec.table, schema, location)
        written = attempt.write(
            new, history, transaction.table_metadata, transaction._table.io, baseline=baseline, now_s=now_s
        )
    except ValidationError:
        attempt.remove(refused=True)
        raise
    except BaseException:  # an interrupt too: what was written belongs to no version
        attempt.remove()
        raise
    if not written.sources:
        attempt.remove()  # a query is known to give nothing new only when its rows were written
        progress(f"{spec.table}: the contents of {announced(new, spec.data)} are not new")
        return IngestResult(dataset.resolve(branch), committed=False)
    for warning in written.warnings:
        progress(f"{spec.table}: warning: {warning}")
    progress(f"{spec.table}: committing {written.statistics.good_rows:,} rows")
    summary = _Summary(dataset, attempt, written, now_s, branch, head)
    try:
        committed = publish(catalog, Batch(spec.table, schema, location, written.files, summary, branch))
    except CommitConflictError:  # after any other error the commit may have happened, so the files stay
        attempt.remove()
        raise
    version = dataset.resolve(f"snapshot:{committed.snapshot_id}")
    return IngestResult(version, committed=True, reasons=written.statistics.reasons, warnings=written.warnings)


@dataclass(frozen=True)
class _Summary:
    """What the snapshot says about itself, made anew for every head it is tried on."""

    dataset: DatasetTable
    attempt: Attempt
    written: Written
    now_s: float
    branch: str
    seen: int | None  # its head when the new files were looked for

    def __call__(self, table: Table | None) -> dict[str, str]:
        """The summary on top of the head of `table`."""
        self._check_still_new(table)
        head_id = branch_head(table, self.branch) if table is not None else None
        head = table.snapshot_by_id(head_id) if table is not None and head_id is not None else None
        spec, statistics = self.attempt.spec, self.written.statistics
        contents = Contents(self.written.sources, self.written.digests)
        self.attempt.lake.write_bytes(self.attempt.sources, contents.to_bytes())
        digest = version_digest(
            parent=summary_of(head).get(f"{PREFIX}digest") if head is not None else None,
            schema={column.name: column.kind for column in columns_of(spec)},
            rules=_rules(spec, self.written.foreign),
            sources=self.written.sources,
            added_rows=statistics.good_rows,
        )
        values = {
            "run_id": self.attempt.run_id,
            "digest": digest,
            "committed_s": repr(self.now_s),
            "sources.uri": self.attempt.sources,
            "sources.digest": fingerprint(self.written.sources),
            "files.digest": contents.files_digest,
            "quarantined": str(statistics.quarantined_rows),
            "reasons": json.dumps(statistics.reasons),
            **self.written.summary,
        }
        if statistics.quarantined_rows:
            values["quarantine.uri"] = self.attempt.lake.uri_of(self.attempt.quarantine)
        return {PREFIX + key: value for key, value in values.items()}

    def _check_still_new(self, table: Table | None) -> None:
        head = branch_head(table, self.branch) if table is not None else None
        if table is None or head == self.seen:
            return
        taken = {source.claim for source in self.dataset.sources_up_to(table, head)}
        if any(source.claim in taken for source in self.written.sources):
            raise _TakenError(f"{self.dataset.table}: another ingest committed some of these files first")


def _head(dataset: DatasetTable, table: Table | None, branch: str) -> int | None:
    """Where the branch is; None before the first version of main."""
    head = branch_head(table, branch) if table is not None else None
    if head is None and branch != "main":
        name = dataset.table
        first = (
            f"`mlops-ray data branch {name}@latest {branch}` makes it" if table is not None else "ingest to main first"
        )
        raise UnknownVersionError(f"{name} has no branch {branch!r}; {first}")
    return head


def _history(
    dataset: DatasetTable, table: Table | None, head: int | None, columns: Sequence[Column]
) -> tuple[SourceObject, ...]:
    if table is None:
        return ()
    expected = {f.name: str(f.field_type) for f in iceberg_schema(tuple(columns)).fields}
    found = {f.name: str(f.field_type) for f in table.schema().fields}
    if expected != found:
        different = sorted(set(expected.items()) ^ set(found.items()))
        raise SchemaError(
            f"table {dataset.table}: expected the columns of the spec, found others "
            f"({', '.join(f'{name} {kind}' for name, kind in different)} in only one of them); "
            "give the new columns a table of their own with data.table"
        )
    return dataset.sources_up_to(table, head)


def _check_names(columns: Sequence[Column], unique: Sequence[str]) -> None:
    names = [column.name for column in columns]
    for name in unique:
        if name not in names:
            raise SchemaError(f"checks.unique: expected columns of the spec ({', '.join(names)}), found {name!r}")


def _rules(spec: ModelSpec, foreign: Sequence[str]) -> dict[str, str]:
    """What decided which rows are good, as a digest."""
    rules = spec.data.model_dump_json(include={"features", "label", "unit", "timestamp"})
    text = " ".join((spec.train.task, rules, *foreign))
    return {"sha256": hashlib.sha256(text.encode()).hexdigest()}
