"""One task of an ingest, run in this process, without Ray."""

import uuid
from pathlib import Path

import pyarrow.parquet as pq

from mlops_ray.data.catalog import location_of, open_catalog, table_location
from mlops_ray.data.column import columns_of, iceberg_schema
from mlops_ray.data.listing import list_sources
from mlops_ray.data.publish import table_or_new
from mlops_ray.data.task import Task
from mlops_ray.data.work import Part, Work, plan_work
from mlops_ray.errors import SourceError
from mlops_ray.lake import Lake, S3Connection
from mlops_ray.spec import Workspace
from tests.data.batches import spec_of, table_of, write

RAW = S3Connection()


def task_of(workspace: Workspace, known: dict[str, frozenset[str]] | None = None) -> Task:
    columns, lake = columns_of(spec_of("/raw")), Lake(workspace.lake)
    transaction = table_or_new(
        open_catalog(workspace.catalog, lake),
        "mlops.churn",
        iceberg_schema(columns),
        table_location("mlops.churn", lake),
    )
    return Task(
        columns=columns,
        unique=("customer",),
        metadata=transaction.table_metadata,
        io=transaction._table.io,
        quarantine=location_of(lake, "quarantine"),
        keys=location_of(lake, "keys"),
        attempt=uuid.UUID(int=7),
        connection=RAW,
        known=known or {},
    )


def test_the_parts_of_a_large_file_are_read_once_each_and_digested_once(tmp_path: Path, workspace: Workspace) -> None:
    write(tmp_path, "a.parquet", table_of(1000), row_group_size=90)
    (source,) = list_sources(str(tmp_path), RAW)
    task = task_of(workspace)
    outcomes = [task.run(Work(i, (Part(source, i, 3),))) for i in range(3)]
    assert sum(outcome.statistics.rows for outcome in outcomes) == 1000
    assert [len(outcome.sources) for outcome in outcomes] == [1, 0, 0]
    files = [file.file_path for outcome in outcomes for file in outcome.files]
    customers = [c for f in files for c in pq.read_table(f.removeprefix("file://"))["customer"].to_pylist()]
    assert customers == [f"c{i}" for i in range(1000)]


def test_a_task_run_twice_overwrites_its_own_files(tmp_path: Path, workspace: Workspace) -> None:
    write(tmp_path / "raw", "a.parquet", table_of(10, age=[200.0] + [20.0] * 9))
    works = plan_work(list_sources(str(tmp_path / "raw"), RAW))
    task, lake = task_of(workspace), Lake(workspace.lake)
    first = task.run(works[0])
    before = lake.list("")
    again = task.run(works[0])
    assert [f.file_path for f in again.files] == [f.file_path for f in first.files]
    assert lake.list("") == before
    assert len(before) == 3


def test_bytes_that_were_ingested_from_there_before_are_left_out(tmp_path: Path, workspace: Workspace) -> None:
    write(tmp_path, "a.parquet", table_of(10))
    write(tmp_path, "b.parquet", table_of(5, first=10))
    works = plan_work(list_sources(str(tmp_path), RAW))
    first, second = task_of(workspace).run(works[0]).sources
    outcome = task_of(workspace, {first.uri: frozenset({first.sha256}), second.uri: frozenset({"other"})}).run(works[0])
    assert outcome.sources == (second,)
    assert outcome.statistics.rows == 5


def test_an_error_of_the_data_is_the_outcome(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "a.parquet").write_bytes(b"nothing")
    outcome = task_of(workspace).run(plan_work(list_sources(str(tmp_path), RAW))[0])
    assert isinstance(outcome.error, SourceError)
    assert outcome.files == ()
