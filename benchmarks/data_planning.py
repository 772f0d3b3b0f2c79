"""Planning a snapshot of many files: pyiceberg's own scan, and the engine's way."""

import gc
import struct
import tempfile
import time
from pathlib import Path

from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.typedef import Record
from pyiceberg.types import DoubleType, NestedField

from benchmarks.data_rounds import Measured, interleave, time_ratio
from mlops_ray.data.catalog import open_catalog
from mlops_ray.data.planning import plan
from mlops_ray.lake import Lake

__all__ = ["measure_planning"]

_COLUMNS = range(1, 31)
_COMMIT_FILES = 1_000  # one manifest each
_NAME = "bench.planned"


def measure_planning(*, files: int, rounds: int) -> Measured:
    """Seconds that each way takes to find the `files` files of one snapshot."""
    with tempfile.TemporaryDirectory(prefix="mlops-ray-bench-") as folder:
        table = _table(Path(folder), files)
        head = table.current_snapshot()
        if head is None:
            raise RuntimeError("the table has no snapshot")
        snapshot_id = head.snapshot_id
        ways = {
            "engine": lambda: len(plan(table, snapshot_id)),
            "pyiceberg scan": lambda: len(list(table.scan(snapshot_id=snapshot_id).plan_files())),
        }
        # Nobody pays for the garbage of the one before.
        timed = interleave("planning", ways, rounds=rounds, clock=time.perf_counter, before=gc.collect)
    ratio = time_ratio(timed["engine"], timed["pyiceberg scan"])
    return Measured(tuple(timed.values()), {"planning_over_pyiceberg_time": ratio})


def _table(folder: Path, files: int) -> Table:
    catalog = open_catalog(f"sqlite:///{folder / 'catalog.db'}", Lake(str(folder / "lake")))
    catalog.create_namespace(_NAME.split(".", maxsplit=1)[0])
    schema = Schema(*(NestedField(i, f"f{i}", DoubleType(), required=False) for i in _COLUMNS))
    table = catalog.create_table(_NAME, schema)
    for start in range(0, files, _COMMIT_FILES):
        with table.transaction() as change, change.update_snapshot().fast_append() as append:
            for number in range(start, min(files, start + _COMMIT_FILES)):
                append.append_data_file(_data_file(f"{folder}/{number}.parquet"))
    return catalog.load_table(_NAME)


def _data_file(path: str) -> DataFile:
    """What a data file's entry says, with the statistics of every column, as an ingest writes it."""
    bound = struct.pack("<d", 1.5)
    file = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=10_000,
        file_size_in_bytes=2_400_000,
        column_sizes=dict.fromkeys(_COLUMNS, 80_000),
        value_counts=dict.fromkeys(_COLUMNS, 10_000),
        null_value_counts=dict.fromkeys(_COLUMNS, 0),
        nan_value_counts={},
        lower_bounds=dict.fromkeys(_COLUMNS, bound),
        upper_bounds=dict.fromkeys(_COLUMNS, bound),
        key_metadata=None,
        split_offsets=[4],
        equality_ids=None,
        sort_order_id=None,
    )
    file.spec_id = 0
    return file
