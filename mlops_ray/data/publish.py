"""The one commit of an ingest: snapshot, main and tag (or a branch) move together, or nothing does."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import CreateTableTransaction, Table, Transaction
from pyiceberg.table.update import (
    AssertCreate,
    AssertRefSnapshotId,
    AssertTableUUID,
    SetSnapshotRefUpdate,
    TableRequirement,
)
from sqlalchemy.exc import IntegrityError

from mlops_ray.data.table import branch_head, version_tags
from mlops_ray.errors import CommitConflictError

__all__ = ["Batch", "Committed", "publish", "table_or_new"]

Summary = Callable[[Table | None], Mapping[str, str]]


@dataclass(frozen=True)
class Batch:
    """What is to be committed."""

    identifier: str  # namespace.name
    schema: Schema
    location: str
    files: Sequence[DataFile]
    summary: Summary  # from the table committed on to, None for a new one; raises CommitConflictError to give up
    branch: str = "main"  # another one has to be there, and gets no version number


@dataclass(frozen=True)
class Committed:
    """What became of a batch."""

    snapshot_id: int
    number: int | None  # of the version; None on a branch


def table_or_new(catalog: Catalog, identifier: str, schema: Schema, location: str) -> Transaction:
    """A transaction on the table, or on one that is made by its commit."""
    try:
        return catalog.load_table(identifier).transaction()
    except NoSuchTableError:
        return catalog.create_table_transaction(identifier, schema, location=location)


def publish(catalog: Catalog, batch: Batch, *, attempts: int = 10) -> Committed:
    """Commit a batch as the next version, or as the new head of a branch.

    The snapshot, the move of `main` and the new tag are one catalog commit that asserts where both refs were; when
    somebody else committed first, the same files are put on top of the new head. Killed at any point, it leaves
    readers on the version before.

    Raises:
        CommitConflictError: others were first `attempts` times, or `batch.summary` found the batch is theirs already.
    """
    _make_namespace(catalog, batch.identifier.split(".", 1)[0])
    for attempt in range(attempts):
        transaction = table_or_new(catalog, batch.identifier, batch.schema, batch.location)
        try:
            return _commit(catalog, transaction, batch)
        except (CommitFailedException, TableAlreadyExistsError):
            time.sleep(min(2.0, 0.02 * 2**attempt) * (0.5 + random.random()))
    raise CommitConflictError(
        f"{batch.identifier}: expected to commit within {attempts} attempts, and another writer was first every time; "
        "nothing was changed, run again"
    )


def _commit(catalog: Catalog, transaction: Transaction, batch: Batch) -> Committed:
    new = isinstance(transaction, CreateTableTransaction)
    table: Table = transaction._table  # pyiceberg keeps it private; a staged table has no other way out
    summary = batch.summary(None if new else table)
    on_main = batch.branch == "main"
    if not on_main and (new or branch_head(table, batch.branch) is None):
        raise CommitConflictError(f"{batch.identifier}: branch {batch.branch!r} was deleted meanwhile")
    branch = None if on_main else batch.branch  # None stages a snapshot on top of main, which moves below
    with transaction.update_snapshot(snapshot_properties=dict(summary), branch=branch).fast_append() as append:
        for file in batch.files:
            append.append_data_file(file)
    snapshot_id, number = append.snapshot_id, 1 + max(version_tags(table), default=0)
    if not on_main:
        catalog.commit_table(table, _requirements(table, batch.branch), tuple(transaction._updates))
        return Committed(snapshot_id, None)
    moves = (
        SetSnapshotRefUpdate(ref_name="main", type="branch", snapshot_id=snapshot_id),
        SetSnapshotRefUpdate(ref_name=f"v{number}", type="tag", snapshot_id=snapshot_id),
    )
    requirements = (AssertCreate(),) if new else _requirements(table, "main", new_tag=f"v{number}")
    catalog.commit_table(table, requirements, (*transaction._updates, *moves))
    return Committed(snapshot_id, number)


def _requirements(table: Table, branch: str, *, new_tag: str | None = None) -> tuple[TableRequirement, ...]:
    """Built here, because pyiceberg's transaction keeps only one assertion of a kind and would drop the branch's."""
    head = branch_head(table, branch)
    same_table = AssertTableUUID(uuid=table.metadata.table_uuid)
    same_head = AssertRefSnapshotId(ref=branch, snapshot_id=head)
    if head is None or new_tag is None:  # pyiceberg refuses an assertion about a tag in a table without snapshots
        return same_table, same_head
    return same_table, same_head, AssertRefSnapshotId(ref=new_tag, snapshot_id=None)


def _make_namespace(catalog: Catalog, namespace: str) -> None:
    try:
        catalog.create_namespace_if_not_exists(namespace)
    except (NamespaceAlreadyExistsError, IntegrityError):  # another process was a moment quicker
        return
