"""Reading one version through Ray Data."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ray.data import DataContext
from ray.exceptions import RayError

from mlops_ray.data import DatasetTable, DatasetVersion, ingest, load_version, read_version
from mlops_ray.errors import SchemaError, UnknownVersionError
from mlops_ray.lake import Lake
from mlops_ray.spec import Workspace
from tests.data.batches import spec_of, table_of, write

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture
def versions(tmp_path: Path, workspace: Workspace) -> list[DatasetVersion]:
    """Two versions of 30 and 50 rows."""
    write(tmp_path / "raw", "a.parquet", table_of(30))
    first = ingest(spec_of(tmp_path / "raw"), workspace, now_s=0, run_id="1").version
    write(tmp_path / "raw", "b.parquet", table_of(20, first=30))
    return [first, ingest(spec_of(tmp_path / "raw"), workspace, now_s=1, run_id="2").version]


def test_a_version_is_read_with_the_rows_and_types_it_was_given(
    versions: list[DatasetVersion], workspace: Workspace
) -> None:
    table = load_version(workspace, versions[0])
    expected = table_of(30).cast(table.schema)
    assert table.equals(expected)


def test_each_version_has_its_own_rows(versions: list[DatasetVersion], workspace: Workspace) -> None:
    assert [read_version(workspace, version).count() for version in versions] == [30, 50]


def test_only_the_columns_asked_for_are_read_in_their_order(
    versions: list[DatasetVersion], workspace: Workspace
) -> None:
    assert load_version(workspace, versions[1], columns=["churned", "age"]).column_names == ["churned", "age"]


def test_rows_come_in_the_same_order_every_time(versions: list[DatasetVersion], workspace: Workspace) -> None:
    first = load_version(workspace, versions[1], columns=["customer"])
    assert all(load_version(workspace, versions[1], columns=["customer"]).equals(first) for _ in range(2))


def test_an_unknown_column_is_named(versions: list[DatasetVersion], workspace: Workspace) -> None:
    with pytest.raises(SchemaError, match=r"mlops\.churn@v1: expected columns of customer, .*, found 'wage'"):
        read_version(workspace, versions[0], columns=["age", "wage"])


def test_an_unknown_snapshot_is_an_error_and_not_an_empty_table(
    versions: list[DatasetVersion], workspace: Workspace
) -> None:
    with pytest.raises(UnknownVersionError, match=r"mlops\.churn@v1 \(snapshot 17\) is not in"):
        read_version(workspace, replace(versions[0], snapshot_id="17"))


def test_references_lead_to_versions(versions: list[DatasetVersion], workspace: Workspace) -> None:
    dataset = DatasetTable("mlops.churn", catalog=workspace.catalog, lake=workspace.lake)
    assert dataset.resolve("latest") == dataset.resolve("mlops.churn@v2") == versions[1]
    assert dataset.resolve(f"snapshot:{versions[0].snapshot_id}") == dataset.resolve("v1") == versions[0]


def test_a_version_that_does_not_exist_is_an_error_that_lists_those_that_do(
    versions: list[DatasetVersion], workspace: Workspace
) -> None:
    dataset = DatasetTable("mlops.churn", catalog=workspace.catalog, lake=workspace.lake)
    for ref in ("v3", "snapshot:17"):
        with pytest.raises(UnknownVersionError, match=rf"no version '{ref}'; it has v1 to v2 \(2 versions\)"):
            dataset.resolve(ref)


def test_what_was_consumed_is_known_by_uri_version_and_etag(
    versions: list[DatasetVersion], workspace: Workspace
) -> None:
    dataset = DatasetTable("mlops.churn", catalog=workspace.catalog, lake=workspace.lake)
    assert dataset.consumed() == {source.identity for version in versions for source in version.sources}


def test_settings_of_ray_data_are_left_as_they_were(versions: list[DatasetVersion], workspace: Workspace) -> None:
    context = DataContext.get_current()
    context.enable_progress_bars, context.execution_options.preserve_order = True, False
    load_version(workspace, versions[0])
    assert (context.enable_progress_bars, context.execution_options.preserve_order) == (True, False)


def test_only_rows_that_the_filter_holds_for_are_read(versions: list[DatasetVersion], workspace: Workspace) -> None:
    table = load_version(
        workspace, versions[1], columns=["customer"], filter="age >= 25 and plan = 'pro' and income is not null"
    )
    expected = [f"c{row}" for row in range(50) if 20 + row % 60 >= 25 and row % 2 == 1 and row % 10 != 0]
    assert sorted(table["customer"].to_pylist()) == sorted(expected)
    assert read_version(workspace, versions[1], filter="age > 1000").count() == 0
    assert read_version(workspace, versions[1], filter="visits in (1, 2)").count() == 14


def test_files_without_a_row_that_the_filter_holds_for_are_not_read(
    versions: list[DatasetVersion], workspace: Workspace
) -> None:
    table = DatasetTable("mlops.churn", catalog=workspace.catalog, lake=workspace.lake).load()
    assert table is not None
    first = next(iter(table.scan(snapshot_id=int(versions[0].snapshot_id)).plan_files()))
    Path(first.file.file_path.removeprefix("file://")).unlink()
    read = load_version(workspace, versions[1], columns=["age"], filter="age >= 50")
    assert sorted(read["age"].to_pylist()) == [float(age) for age in range(50, 70)]


def test_row_groups_without_a_row_that_the_filter_holds_for_are_not_read(tmp_path: Path, workspace: Workspace) -> None:
    spec = spec_of(tmp_path / "raw")
    write(tmp_path / "raw", "a.parquet", table_of(10))
    ingest(spec, workspace, now_s=0, run_id="1")
    table = DatasetTable.of(spec, workspace).load()
    assert table is not None
    table.transaction().set_properties({"write.parquet.row-group-limit": "100"}).commit_transaction()
    write(tmp_path / "raw", "b.parquet", table_of(300, first=10, visits=list(range(1000, 1300))))
    version = ingest(spec, workspace, now_s=1, run_id="2").version
    path = max((Path(Lake(workspace.lake).root) / "warehouse").rglob("*.parquet"), key=lambda file: file.stat().st_size)
    metadata = pq.ParquetFile(path).metadata
    assert metadata.num_row_groups == 3
    content = bytearray(path.read_bytes())
    firsts = [metadata.row_group(group).column(0) for group in (1, 2)]
    start, end = (first.dictionary_page_offset or first.data_page_offset for first in firsts)
    content[start:end] = bytes(end - start)
    path.write_bytes(content)
    assert read_version(workspace, version, filter="visits >= 1000 and visits < 1100").count() == 100
    assert load_version(workspace, version, filter="visits >= 1200").num_rows == 100
    with pytest.raises(RayError):
        load_version(workspace, version, filter="visits >= 1100")


@pytest.mark.parametrize(
    "text", ["age >", "wage > 3", "age > 'old'", "1 = 1", "", "age > 3; drop table", "upper(plan) = 'PRO'"]
)
def test_a_filter_that_is_none_is_refused_with_the_form_and_the_columns(
    versions: list[DatasetVersion], workspace: Workspace, text: str
) -> None:
    with pytest.raises(SchemaError, match=r"mlops\.churn@v1: filter .*: expected a form like .* over the columns cust"):
        read_version(workspace, versions[0], filter=text)
