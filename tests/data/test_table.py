"""The versions of a dataset, and what references lead to."""

import json
from pathlib import Path

import pytest

from mlops_ray.data import DatasetTable, create_ref
from mlops_ray.data.contents import FileDigest
from mlops_ray.errors import SourceError, UnknownVersionError
from mlops_ray.lake import Lake
from mlops_ray.spec import Workspace
from tests.data.batches import commit


def test_before_the_first_ingest_there_is_no_version(workspace: Workspace) -> None:
    dataset = DatasetTable("mlops.churn", catalog=workspace.catalog, lake=workspace.lake)
    assert dataset.versions() == []
    assert dataset.consumed() == set()
    with pytest.raises(UnknownVersionError, match=r"mlops\.churn has no version yet; `mlops-ray ingest` makes one"):
        dataset.resolve("latest")


@pytest.fixture
def dataset(workspace: Workspace) -> DatasetTable:
    """Versions of the times 60, 120 and, by a clock that was wrong, 90."""
    for now_s in (60, 120, 90):
        commit(workspace, now_s=now_s)
    return DatasetTable.named("mlops.churn", workspace)


@pytest.mark.parametrize(
    ("time", "number"), [("00:01:00", 1), ("00:01:29", 1), ("00:01:30", 3), ("00:02:00", 3), ("12:00:00", 3)]
)
def test_a_time_leads_to_the_version_that_was_the_latest_then(dataset: DatasetTable, time: str, number: int) -> None:
    assert dataset.resolve(f"churn@1970-01-01T{time}Z").number == number


def test_before_the_first_version_there_is_none(dataset: DatasetTable) -> None:
    with pytest.raises(UnknownVersionError, match=r"it has v1 to v3 \(3 versions\), the first of 1970-01-01T00:01:00"):
        dataset.resolve("1970-01-01T00:00:59Z")


def test_an_unknown_name_is_an_error_that_lists_the_names_there_are(dataset: DatasetTable) -> None:
    create_ref(dataset, "tag", "audited", "v1")
    create_ref(dataset, "branch", "trial", "v2")
    with pytest.raises(
        UnknownVersionError, match=r"no version 'auditd'; it has v1 to v3 .*, tag audited, branch trial"
    ):
        dataset.resolve("auditd")


def test_a_list_of_sources_in_the_form_of_before_is_read(workspace: Workspace) -> None:
    commit(workspace, sources="warehouse/mlops/churn/sources/old.json")
    path = Path(Lake(workspace.lake).root) / "warehouse/mlops/churn/sources/old.json"
    path.write_text(json.dumps(json.loads(path.read_text())["sources"]))
    version = DatasetTable.named("mlops.churn", workspace).resolve("v1")
    assert len(version.sources) == 1


def test_a_list_of_files_that_was_changed_is_refused(workspace: Workspace) -> None:
    commit(workspace, sources="warehouse/mlops/churn/sources/one.json")
    path = Path(Lake(workspace.lake).root) / "warehouse/mlops/churn/sources/one.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": [FileDigest("file:///x", 1, "ab").to_json()]}))
    with pytest.raises(SourceError, match="is not the one that was committed"):
        DatasetTable.named("mlops.churn", workspace).resolve("v1")
