"""Re-reading a version's files."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mlops_ray.data import DatasetTable, DatasetVersion, check_out, ingest, load_version, verify_version
from mlops_ray.data.data_files import VersionFiles
from mlops_ray.errors import DataError, SourceError
from mlops_ray.lake import Lake
from mlops_ray.spec import Workspace
from tests.data.batches import spec_of, table_of, write

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture
def version(tmp_path: Path, workspace: Workspace) -> DatasetVersion:
    """The second of two versions, of 100 and 50 rows, with a column whose name files have to spell otherwise."""
    for number, rows in enumerate((100, 50)):
        write(tmp_path / "raw", f"{number}.parquet", odd(rows, first=number * 100))
        done = ingest(spec_of(tmp_path / "raw", label="left us"), workspace, now_s=number, run_id=str(number))
    return done.version


def odd(rows: int, first: int) -> object:
    table = table_of(rows, first=first)
    return table.rename_columns(["left us" if name == "churned" else name for name in table.column_names])


def paths(workspace: Workspace, version: DatasetVersion) -> list[Path]:
    files = VersionFiles.of(DatasetTable.named(version.table, workspace), version).files
    return [Path(file.file_path.removeprefix("file://")) for file in files]


def test_files_as_they_were_written_are_intact(workspace: Workspace, version: DatasetVersion) -> None:
    dataset = DatasetTable.named(version.table, workspace)
    found = verify_version(dataset, version)
    size = sum(path.stat().st_size for path in paths(workspace, version))
    assert (found.intact, found.files, found.size_bytes, found.unknown) == (True, 2, size, ())
    assert {file.location for file in dataset.files(version)} == {f"file://{p}" for p in paths(workspace, version)}


def test_one_changed_byte_and_a_lost_file_are_named(workspace: Workspace, version: DatasetVersion) -> None:
    one, two = paths(workspace, version)
    content = bytearray(one.read_bytes())
    content[10] ^= 1
    one.write_bytes(content)
    two.unlink()
    found = verify_version(DatasetTable.named(version.table, workspace), version)
    assert (found.altered, found.lost, found.intact) == ((f"file://{one}",), (f"file://{two}",), False)


def test_a_version_from_before_digests_were_kept_is_neither_whole_nor_broken(
    workspace: Workspace, version: DatasetVersion
) -> None:
    dataset = DatasetTable.named(version.table, workspace)
    old = dataset.resolve("v1")
    _forget_digests(workspace)
    found = verify_version(dataset, old)
    assert (found.intact, found.files, len(found.unknown)) == (True, 1, 1)


def _forget_digests(workspace: Workspace) -> None:
    """Make the lists and summaries what they were before."""
    lake = Lake(workspace.lake)
    for path in lake.list("warehouse/mlops/churn/sources"):
        lake.write_bytes(path, json.dumps(json.loads(lake.read_bytes(path))["sources"]).encode())
    for path in lake.list("warehouse/mlops/churn/metadata", ".metadata.json"):
        content = json.loads(lake.read_bytes(path))
        for snapshot in content.get("snapshots", []):
            snapshot["summary"].pop("mlops.files.digest", None)
        lake.write_bytes(path, json.dumps(content).encode())


def test_a_checkout_holds_the_rows_of_the_version_under_their_names(
    workspace: Workspace, version: DatasetVersion, tmp_path: Path
) -> None:
    dataset = DatasetTable.named(version.table, workspace)
    target = tmp_path / "deep" / "out"
    assert check_out(dataset, version, target) == 150
    found = pq.read_table(target).sort_by("customer")
    assert found.equals(load_version(workspace, version).sort_by("customer").cast(found.schema))
    assert "left us" in found.column_names
    with pytest.raises(DataError, match="expected nothing there, found a folder"):
        check_out(dataset, version, target)


def test_a_checkout_that_fails_leaves_nothing(workspace: Workspace, version: DatasetVersion, tmp_path: Path) -> None:
    paths(workspace, version)[0].unlink()
    with pytest.raises(SourceError, match=r"mlops\.churn@v2 cannot be written to .*out: "):
        check_out(DatasetTable.named(version.table, workspace), version, tmp_path / "out")
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]
