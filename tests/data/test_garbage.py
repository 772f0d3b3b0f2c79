"""What is collected and, above all, what is not."""

import os
import shutil
import time
from pathlib import Path

import pytest
from pyiceberg.table import Table

from mlops_ray.data import DatasetTable, Leftover, create_ref, delete_ref, find_leftovers, remove_leftovers
from mlops_ray.data.catalog import open_catalog, table_location
from mlops_ray.data.column import columns_of, iceberg_schema
from mlops_ray.data.publish import Batch, publish
from mlops_ray.errors import SourceError
from mlops_ray.lake import Lake
from mlops_ray.spec import Workspace
from tests.data.batches import commit, spec_of

ATTEMPT = "0123456789abcdef" * 2


def leftovers(workspace: Workspace, *, older_than_s: float = 0.0, table: str | None = None) -> list[Leftover]:
    lake = Lake(workspace.lake)
    catalog = open_catalog(workspace.catalog, lake)
    return find_leftovers(catalog, lake, older_than_s=older_than_s, now_s=time.time() + 1, table=table)


def leave(workspace: Workspace, path: str, *, age_s: float = 0.0) -> Path:
    """What a killed ingest might have left."""
    Lake(workspace.lake).write_bytes(path, b"12345")
    file = Path(Lake(workspace.lake).root) / path
    os.utime(file, (time.time() - age_s,) * 2)
    return file


def attempt(workspace: Workspace, *, table: str = "mlops.churn", age_s: float = 0.0) -> list[str]:
    """Everything one attempt may leave; the paths that are to be removed."""
    folder = f"warehouse/{table.replace('.', '/')}"
    leave(workspace, f"{folder}/data/{ATTEMPT}/00000-0-a.parquet", age_s=age_s)
    leave(workspace, f"{folder}/data/{ATTEMPT}/00001-0-a.parquet", age_s=age_s)
    leave(workspace, f"{folder}/sources/{ATTEMPT}.json", age_s=age_s)
    leave(workspace, f"{folder}/sources/.{ATTEMPT}.json.77aa", age_s=age_s)
    leave(workspace, f"quarantine/{table}/some run/{ATTEMPT[:12]}/00000-00000.parquet", age_s=age_s)
    return [
        f"quarantine/{table}/some run/{ATTEMPT[:12]}",
        f"{folder}/data/{ATTEMPT}",
        f"{folder}/sources/.{ATTEMPT}.json.77aa",
        f"{folder}/sources/{ATTEMPT}.json",
    ]


def test_versions_and_what_they_need_are_no_garbage(workspace: Workspace) -> None:
    for _ in range(3):
        commit(workspace)
    assert leftovers(workspace) == []


def test_what_a_killed_attempt_left_is_found_and_removed_and_nothing_else(workspace: Workspace) -> None:
    commit(workspace)
    before = Lake(workspace.lake).files("warehouse")
    paths = attempt(workspace)
    found = leftovers(workspace)
    assert sorted(item.path for item in found) == paths
    assert {(i.kind, i.files, i.size_bytes) for i in found} == {
        ("data", 2, 10),
        ("sources", 1, 5),
        ("quarantine", 1, 5),
    }
    assert {item.table for item in found} == {"mlops.churn"}
    remove_leftovers(Lake(workspace.lake), found)
    remove_leftovers(Lake(workspace.lake), found)
    assert Lake(workspace.lake).files("warehouse") == before
    assert Lake(workspace.lake).files("quarantine") == ()


def test_what_is_younger_is_spared(workspace: Workspace) -> None:
    commit(workspace)
    attempt(workspace, age_s=50)
    assert leftovers(workspace, older_than_s=100) == []
    assert len(leftovers(workspace, older_than_s=40)) == 4


def test_an_attempt_is_as_young_as_the_newest_of_its_files(workspace: Workspace) -> None:
    commit(workspace)
    attempt(workspace, age_s=5000)
    leave(workspace, f"warehouse/mlops/churn/data/{ATTEMPT}/00002-0-a.parquet")
    assert leftovers(workspace, older_than_s=100) == []


def overtaken(workspace: Workspace) -> None:
    """A commit that another one was quicker than, so that its manifests belong to nobody."""
    lake = Lake(workspace.lake)
    met: list[str] = []

    def summary(_: Table | None) -> dict[str, str]:
        if not met:
            met.append(commit(workspace))
        return {"by": "test"}

    schema, location = iceberg_schema(columns_of(spec_of("/raw"))), table_location("mlops.churn", lake)
    publish(open_catalog(workspace.catalog, lake), Batch("mlops.churn", schema, location, (), summary))


def test_metadata_that_no_commit_took_is_found_and_the_table_stays_whole(workspace: Workspace) -> None:
    commit(workspace)
    overtaken(workspace)
    found = leftovers(workspace)
    assert {item.kind for item in found} == {"metadata"}
    remove_leftovers(Lake(workspace.lake), found)
    table = DatasetTable.named("mlops.churn", workspace).load()
    assert table is not None
    assert len(table.snapshots()) == 3
    for snapshot in table.snapshots():
        assert table.scan(snapshot_id=snapshot.snapshot_id).to_arrow().num_rows == 0
    assert leftovers(workspace) == []


def test_what_a_tag_or_a_branch_can_reach_stays_also_when_the_name_is_deleted(workspace: Workspace) -> None:
    commit(workspace)
    dataset = DatasetTable.named("mlops.churn", workspace)
    create_ref(dataset, "branch", "audit", "latest")
    snapshot_id = commit(workspace, branch="audit")
    assert leftovers(workspace) == []
    delete_ref(dataset, "branch", "audit")
    assert leftovers(workspace) == []
    assert dataset.resolve(f"snapshot:{snapshot_id}").number is None


def test_what_another_table_of_the_lake_refers_to_stays(workspace: Workspace) -> None:
    commit(workspace)
    commit(workspace, table="mlops.other", sources=f"warehouse/mlops/churn/sources/{ATTEMPT}.json")
    assert leftovers(workspace, table="mlops.churn") == []


def test_only_the_table_that_is_named_is_looked_at(workspace: Workspace) -> None:
    commit(workspace)
    commit(workspace, table="mlops.other")
    paths = attempt(workspace)
    attempt(workspace, table="mlops.other")
    assert sorted(item.path for item in leftovers(workspace, table="mlops.churn")) == paths
    assert len(leftovers(workspace)) == 8


def test_the_leftovers_of_a_first_ingest_that_was_killed_are_found(workspace: Workspace) -> None:
    paths = attempt(workspace)
    assert sorted(item.path for item in leftovers(workspace)) == paths


def test_a_table_that_only_another_catalog_knows_is_left_alone(workspace: Workspace, tmp_path: Path) -> None:
    commit(workspace)
    attempt(workspace)
    stranger = Workspace.at(tmp_path / "stranger", lake=workspace.lake)
    assert leftovers(stranger) == []


def test_a_home_that_was_copied_with_its_catalog_is_left_alone(workspace: Workspace, tmp_path: Path) -> None:
    commit(workspace)
    shutil.copytree(workspace.home, tmp_path / "copy")
    assert leftovers(Workspace.at(tmp_path / "copy")) == []


@pytest.mark.parametrize(
    "path", ["warehouse/mlops/churn/data/part-0.parquet", "models/x/data/a.bin", "warehouse/mlops/churn/reports/1.html"]
)
def test_files_of_a_form_that_no_ingest_writes_are_left_alone(workspace: Workspace, path: str) -> None:
    commit(workspace)
    leave(workspace, path)
    assert leftovers(workspace) == []


def test_without_a_readable_catalog_nothing_is_named(workspace: Workspace) -> None:
    commit(workspace)
    attempt(workspace)
    table = DatasetTable.named("mlops.churn", workspace).load()
    assert table is not None
    snapshot = table.current_snapshot()
    assert snapshot is not None
    Path(snapshot.manifest_list.removeprefix("file://")).unlink()
    with pytest.raises(SourceError, match=r"so nothing is removed; found: .*snap-"):
        leftovers(workspace)
