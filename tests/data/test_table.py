"""A dataset before its first version."""

import pytest

from mlops_ray.data import DatasetTable
from mlops_ray.errors import UnknownVersionError
from mlops_ray.spec import Workspace


def test_before_the_first_ingest_there_is_no_version(workspace: Workspace) -> None:
    dataset = DatasetTable("mlops.churn", catalog=workspace.catalog, lake=workspace.lake)
    assert dataset.versions() == []
    assert dataset.consumed() == set()
    with pytest.raises(UnknownVersionError, match=r"mlops\.churn has no version yet; `mlops-ray ingest` makes one"):
        dataset.resolve("latest")
