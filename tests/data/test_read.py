"""Reading one version through Ray Data."""

from dataclasses import replace
from pathlib import Path

import pytest
from ray.data import DataContext

from mlops_ray.data import DatasetTable, DatasetVersion, ingest, load_version, read_version
from mlops_ray.errors import SchemaError, UnknownVersionError
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
