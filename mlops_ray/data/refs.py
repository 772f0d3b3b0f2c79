"""Names for versions: tags and branches that people make, and the publication of a branch; each is one commit."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.table import Table
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update import (
    AssertRefSnapshotId,
    AssertTableUUID,
    RemoveSnapshotRefUpdate,
    SetPropertiesUpdate,
    SetSnapshotRefUpdate,
    TableUpdate,
)

from mlops_ray.data.table import (
    PREFIX,
    DatasetTable,
    ancestry,
    branch_head,
    head_of,
    published_key,
    summary_of,
    version_tags,
)
from mlops_ray.data.version import DatasetVersion, check_ref_name
from mlops_ray.errors import CommitConflictError, UnknownVersionError

__all__ = ["RefKind", "create_ref", "delete_ref", "publish_branch"]

RefKind = Literal["tag", "branch"]
_ATTEMPTS = 10


@dataclass(frozen=True)
class _Move:
    """One commit: where refs have to be (None: nowhere), and what changes."""

    asserted: dict[str, int | None]
    updates: tuple[TableUpdate, ...]


def create_ref(dataset: DatasetTable, kind: RefKind, name: str, ref: str) -> DatasetVersion:
    """Name the version behind `ref`; returns it.

    Raises:
        DataError: the name cannot be one.
        UnknownVersionError: no such version.
        CommitConflictError: the name is taken, be it a moment ago; neither tags nor branches are moved by this.
    """
    check_ref_name(name)
    version = dataset.resolve(ref)
    snapshot_id = int(version.snapshot_id)

    def plan(table: Table) -> _Move:
        taken = table.metadata.refs.get(name)
        if taken is not None:
            raise CommitConflictError(
                f"{dataset.table} has a {taken.snapshot_ref_type.value} {name!r} already, at snapshot "
                f"{taken.snapshot_id}; delete it first (--delete) to use the name anew"
            )
        return _Move({name: None}, (SetSnapshotRefUpdate(ref_name=name, type=kind, snapshot_id=snapshot_id),))

    _commit(dataset, plan)
    return version


def delete_ref(dataset: DatasetTable, kind: RefKind, name: str, ref: str | None = None) -> str:
    """Delete a tag or a branch, never what it points to; returns the id of that snapshot.

    Args:
        ref: if given, the name is deleted only while it points to this version.

    Raises:
        DataError: the name is none that people make.
        UnknownVersionError: there is no such tag or branch.
        CommitConflictError: it points to another version than `ref`.
    """
    check_ref_name(name)
    expected = int(dataset.resolve(ref).snapshot_id) if ref is not None else None

    def plan(table: Table) -> _Move:
        found = table.metadata.refs.get(name)
        if found is None or found.snapshot_ref_type is not SnapshotRefType(kind):
            known = [n for n, (k, _) in dataset.names().items() if k == kind]
            raise UnknownVersionError(f"{dataset.table} has no {kind} {name!r}; it has {', '.join(known) or 'none'}")
        if expected is not None and found.snapshot_id != expected:
            raise CommitConflictError(
                f"{kind} {name!r} of {dataset.table}: expected snapshot {expected}, found it at {found.snapshot_id}"
            )
        return _Move({name: found.snapshot_id}, (RemoveSnapshotRefUpdate(ref_name=name),))

    return str(next(iter(_commit(dataset, plan).asserted.values())))


def publish_branch(dataset: DatasetTable, branch: str, *, now_s: float) -> list[DatasetVersion]:
    """Move main forward to the head of a branch, and number what is new in it; one commit that asserts both.

    What was looked at on the branch is what is published, so nothing is rebased: when main has moved since the branch
    was made, it is refused.

    Returns:
        The new versions, oldest first; [] when main holds everything already.

    Raises:
        UnknownVersionError: no such branch.
        CommitConflictError: main has moved, or the branch holds what another writer made.
    """
    numbers: list[int] = []

    def plan(table: Table) -> _Move | None:
        head = branch_head(table, branch) if branch != "main" else None
        if head is None:
            known = [name for name, (kind, _) in dataset.names().items() if kind == "branch"]
            raise UnknownVersionError(f"{dataset.table} has no branch {branch!r}; it has {', '.join(known) or 'none'}")
        new = _new_in(dataset, table, branch, head)
        if not new:
            return None
        first = 1 + max(version_tags(table))
        numbers[:] = range(first, first + len(new))
        tags = {f"v{number}": snapshot.snapshot_id for number, snapshot in zip(numbers, new, strict=True)}
        return _Move(
            {"main": head_of(table), branch: head, **dict.fromkeys(tags)},
            (
                SetSnapshotRefUpdate(ref_name="main", type="branch", snapshot_id=head),
                *(SetSnapshotRefUpdate(ref_name=tag, type="tag", snapshot_id=s) for tag, s in tags.items()),
                SetPropertiesUpdate(updates={published_key(number): repr(now_s) for number in numbers}),
            ),
        )

    return [dataset.resolve(f"v{number}") for number in numbers] if _commit(dataset, plan).updates else []


def _new_in(dataset: DatasetTable, table: Table, branch: str, head: int) -> list[Snapshot]:
    """Snapshots of a branch that main does not hold, oldest first."""
    main = {snapshot.snapshot_id for snapshot in ancestry(table, head_of(table))}
    if head in main:
        return []
    new: list[Snapshot] = []
    for snapshot in ancestry(table, head):
        if snapshot.snapshot_id == head_of(table):
            break
        if snapshot.snapshot_id in main:
            raise CommitConflictError(
                f"{dataset.table}: main has moved since branch {branch!r} was made, and what was checked there is not "
                f"what main would become; make a new branch of {dataset.table}@latest and ingest to it"
            )
        new.append(snapshot)
    foreign = [snapshot.snapshot_id for snapshot in new if f"{PREFIX}digest" not in summary_of(snapshot)]
    if foreign:
        raise CommitConflictError(f"{dataset.table}: snapshot {foreign[0]} of branch {branch!r} is not of an ingest")
    return new[::-1]


def _commit(dataset: DatasetTable, plan: Callable[[Table], _Move | None]) -> _Move:
    """Commit what is planned, planned anew whenever somebody else committed in between."""
    for attempt in range(_ATTEMPTS):
        table = dataset.load()
        if table is None:
            raise UnknownVersionError(f"{dataset.table} has no version yet; `mlops-ray ingest` makes one")
        move = plan(table)
        if move is None:
            return _Move({}, ())
        requirements = (
            AssertTableUUID(uuid=table.metadata.table_uuid),
            *(AssertRefSnapshotId(ref=ref, snapshot_id=snapshot_id) for ref, snapshot_id in move.asserted.items()),
        )
        try:
            table.catalog.commit_table(table, requirements, move.updates)
        except CommitFailedException:
            time.sleep(min(2.0, 0.02 * 2**attempt) * (0.5 + random.random()))
        except NoSuchTableError:
            raise UnknownVersionError(f"{dataset.table} was dropped meanwhile") from None
        else:
            return move
    raise CommitConflictError(
        f"{dataset.table}: expected to commit within {_ATTEMPTS} attempts, and another writer was first every time; "
        "nothing was changed, run again"
    )
