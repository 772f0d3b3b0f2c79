"""The commit: refs move together or not at all, whoever else commits."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from mlops_ray.data.catalog import open_catalog, table_location
from mlops_ray.data.column import Column, iceberg_schema
from mlops_ray.data.publish import Batch, publish
from mlops_ray.data.table import version_tags
from mlops_ray.errors import CommitConflictError
from mlops_ray.lake import Lake
from mlops_ray.spec import Workspace

SCHEMA = iceberg_schema((Column("age", "float", nullable=True),))


@pytest.fixture
def catalog(workspace: Workspace) -> Catalog:
    return open_catalog(workspace.catalog, Lake(workspace.lake))


def batch(workspace: Workspace, meet: Callable[[], object] = lambda: None) -> Batch:
    """An empty batch; `meet` runs between its look at the head and its commit."""

    def summary(_: Table | None) -> Mapping[str, str]:
        meet()
        return {"by": "test"}

    return Batch("mlops.t", SCHEMA, table_location("mlops.t", Lake(workspace.lake)), (), summary)


def test_versions_are_numbered_from_one_and_tagged(catalog: Catalog, workspace: Workspace) -> None:
    assert [publish(catalog, batch(workspace)).number for _ in range(3)] == [1, 2, 3]
    table = catalog.load_table("mlops.t")
    current = table.current_snapshot()
    assert current is not None
    assert version_tags(table)[3] == current.snapshot_id
    assert len(set(version_tags(table).values())) == 3


def test_nothing_is_in_the_catalog_before_the_first_commit(catalog: Catalog, workspace: Workspace) -> None:
    seen: list[list[object]] = []
    publish(catalog, batch(workspace, lambda: seen.append(list(catalog.list_tables("mlops")))))
    assert seen == [[]]


def test_a_commit_that_another_one_overtook_goes_on_top_of_it(catalog: Catalog, workspace: Workspace) -> None:
    pending = [lambda: publish(catalog, batch(workspace))]
    assert publish(catalog, batch(workspace, lambda: pending.pop()() if pending else None)).number == 2
    snapshots = catalog.load_table("mlops.t").snapshots()
    assert snapshots[1].parent_snapshot_id == snapshots[0].snapshot_id


def test_being_overtaken_every_time_is_a_conflict_and_changes_nothing(catalog: Catalog, workspace: Workspace) -> None:
    overtaken = batch(workspace, lambda: publish(catalog, batch(workspace)))
    with pytest.raises(CommitConflictError, match=r"mlops\.t: expected to commit within 2 attempts"):
        publish(catalog, overtaken, attempts=2)
    assert sorted(version_tags(catalog.load_table("mlops.t"))) == [1, 2]


def test_writers_in_parallel_lose_nothing(workspace: Workspace) -> None:
    def write(_: int) -> int:
        done = publish(open_catalog(workspace.catalog, Lake(workspace.lake)), batch(workspace), attempts=30)
        return done.number or 0

    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(write, range(8)))
    assert sorted(numbers) == list(range(1, 9))
    table = open_catalog(workspace.catalog, Lake(workspace.lake)).load_table("mlops.t")
    assert len(table.snapshots()) == 8
