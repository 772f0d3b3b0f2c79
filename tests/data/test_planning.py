"""Which files a read takes."""

import gc
from pathlib import Path

import pytest
from pyiceberg.expressions import GreaterThan

from mlops_ray.data import DatasetTable, ingest
from mlops_ray.data.planning import PinnedDatasource, plan
from mlops_ray.spec import Workspace
from tests.data.batches import spec_of, table_of, write

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_the_files_are_those_of_pyiceberg_and_are_found_once_for_all_columns(
    tmp_path: Path, workspace: Workspace
) -> None:
    spec = spec_of(tmp_path / "raw")
    ids = []
    for number in range(3):
        write(tmp_path / "raw", f"{number}.parquet", table_of(10, first=10 * number, age=[10.0 * number] * 10))
        ids.append(int(ingest(spec, workspace, now_s=0, run_id="run").version.snapshot_id))
    table = DatasetTable.of(spec, workspace).load()
    assert table is not None
    for snapshot_id in ids:
        expected = [task.file.file_path for task in table.scan(snapshot_id=snapshot_id).plan_files()]
        assert [task.file.file_path for task in plan(table, snapshot_id)] == expected
    assert len(plan(table, ids[-1], GreaterThan("age", 5.0))) == 2
    source = PinnedDatasource(table, ids[-1])
    planned = source.plan_files
    assert source.apply_projection({"age": "age"}).plan_files is planned
    assert gc.isenabled()
