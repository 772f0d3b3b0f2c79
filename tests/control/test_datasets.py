"""What people do with dataset versions, and the events that tell of it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_ray.control.datasets import collect_garbage, dataset_of, drop_name, give_name, log_of, log_text, publish
from mlops_ray.data import DatasetTable
from mlops_ray.errors import CommitConflictError, DataError, SpecError, UnknownVersionError
from mlops_ray.lake import Lake
from mlops_ray.spec import Workspace
from mlops_ray.store import Store
from tests.data.batches import commit


@pytest.fixture
def store(workspace: Workspace) -> Store:
    Path(workspace.home).mkdir(parents=True)
    store = Store(workspace.store)
    store.create()
    return store


@pytest.fixture
def dataset(workspace: Workspace) -> DatasetTable:
    """Two versions, of the times 60 and 120."""
    commit(workspace, now_s=60)
    commit(workspace, now_s=120)
    return DatasetTable.named("mlops.churn", workspace)


def kinds(store: Store) -> list[tuple[str, str]]:
    return [(event.kind, event.subject) for event in store.events()]


def test_names_that_are_given_and_taken_are_told_once(store: Store, dataset: DatasetTable) -> None:
    assert give_name(store, dataset, "tag", "audited", "v1", actor="ada", now_s=1).number == 1
    drop_name(store, dataset, "tag", "audited", None, actor="ada", now_s=2)
    assert kinds(store) == [
        ("dataset.tag_created", "mlops.churn@audited"),
        ("dataset.tag_deleted", "mlops.churn@audited"),
    ]
    assert store.events()[0].payload["version"] == "mlops.churn@v1"
    assert store.verify().verified


def test_what_is_refused_is_not_told(store: Store, dataset: DatasetTable, workspace: Workspace) -> None:
    give_name(store, dataset, "branch", "audit", "v1", actor="ada", now_s=1)
    before = kinds(store)
    refused: list[tuple[type[DataError], Callable[[], object]]] = [
        (CommitConflictError, lambda: give_name(store, dataset, "tag", "audit", "v2", actor="bob", now_s=2)),
        (DataError, lambda: give_name(store, dataset, "tag", "v7", "v2", actor="bob", now_s=2)),
        (UnknownVersionError, lambda: give_name(store, dataset, "tag", "new", "v9", actor="bob", now_s=2)),
        (UnknownVersionError, lambda: drop_name(store, dataset, "tag", "audit", None, actor="bob", now_s=2)),
        (CommitConflictError, lambda: drop_name(store, dataset, "branch", "audit", "v2", actor="bob", now_s=2)),
        (UnknownVersionError, lambda: publish(store, dataset, "nobody", actor="bob", now_s=2)),
    ]
    for kind, action in refused:
        with pytest.raises(kind):
            action()
    assert kinds(store) == before
    assert dataset.names() == {"audit": ("branch", dataset.resolve("v1").snapshot_id)}


def test_a_publication_is_told_and_each_version_it_made(
    store: Store, dataset: DatasetTable, workspace: Workspace
) -> None:
    give_name(store, dataset, "branch", "audit", "latest", actor="ada", now_s=1)
    commit(workspace, branch="audit")
    commit(workspace, branch="audit")
    assert [v.number for v in publish(store, dataset, "audit", actor="ada", now_s=2)] == [3, 4]
    assert ("dataset.published", "mlops.churn@audit") in kinds(store)
    told = [subject for kind, subject in kinds(store) if kind == "dataset.committed"]
    assert told == [f"mlops.churn@v{number}" for number in (1, 2, 3, 4)]
    assert publish(store, dataset, "audit", actor="ada", now_s=3) == []
    assert len([kind for kind, _ in kinds(store) if kind == "dataset.published"]) == 1


def test_the_log_shows_versions_newest_first_with_names_and_branches(
    store: Store, dataset: DatasetTable, workspace: Workspace
) -> None:
    give_name(store, dataset, "tag", "audited", "v1", actor="ada", now_s=1)
    give_name(store, dataset, "branch", "trial", "v2", actor="ada", now_s=1)
    on_branch = commit(workspace, branch="trial")
    content = log_of(dataset)
    assert [(v["ref"], v["names"]) for v in content["versions"]] == [
        ("mlops.churn@v2", []),
        ("mlops.churn@v1", ["tag audited"]),
    ]
    assert content["branches"]["trial"]["snapshot_id"] == on_branch
    lines = log_text(content).splitlines()
    assert lines[1].startswith("mlops.churn@v1  1970-01-01T00:01:00+00:00  0 rows  +0  0 quarantined")
    assert lines[2].startswith(f"branch trial: mlops.churn@snapshot:{on_branch}")
    with pytest.raises(UnknownVersionError, match=r"mlops\.other has no version yet"):
        log_of(DatasetTable.named("mlops.other", workspace))


def test_garbage_is_removed_with_one_event_and_only_named_by_a_dry_run(
    store: Store, dataset: DatasetTable, workspace: Workspace
) -> None:
    lake, path = Lake(workspace.lake), f"warehouse/mlops/churn/data/{'ab' * 16}/a.parquet"
    lake.write_bytes(path, b"12345")
    os.utime(Path(lake.root) / path, (0, 0))

    def collect(dry_run: bool) -> list[str]:
        found = collect_garbage(
            store, workspace, None, older_than_s=3600, dry_run=dry_run, actor="ada", now_s=time.time()
        )
        return [item.path for item in found]

    assert collect(dry_run=True) == [str(Path(path).parent)]
    assert lake.exists(path)
    assert kinds(store) == []
    assert collect(dry_run=False) == [str(Path(path).parent)]
    assert not lake.exists(path)
    assert collect(dry_run=False) == []
    (event,) = store.events()
    assert (event.kind, event.payload["files"], event.payload["bytes"]) == ("dataset.collected", 1, 5)


def test_a_dataset_is_named_by_table_short_name_or_spec_file(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "me@work"
    folder.mkdir()
    spec = folder / "orders.yaml"
    spec.write_text("{name: orders, data: {source: raw, table: shop.orders, label: y, features: {a: float}}}")
    shop, churn = (DatasetTable.named(name, workspace) for name in ("shop.orders", "mlops.churn"))
    assert dataset_of("churn", workspace) == (churn, "latest")
    assert dataset_of("churn@2026-11-01T00:00+01:00", workspace) == (churn, "2026-11-01T00:00+01:00")
    assert dataset_of("shop.orders@v3", workspace) == (shop, "v3")
    assert dataset_of(str(spec), workspace) == (shop, "latest")
    assert dataset_of(f"{spec}@audit", workspace) == (shop, "audit")
    with pytest.raises(SpecError, match=r"nowhere\.yaml"):
        dataset_of("nowhere.yaml@v1", workspace)
