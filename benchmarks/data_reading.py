"""Reading one version whole: the engine, Ray Data's Parquet reader on the same files, and pyarrow in one process.

Ray Data reads them twice: as it is, and with fewer actors that read footers, which is faster where cores are few.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import ray
from ray.data import Dataset

from benchmarks.data_cluster import (
    FEW_FOOTER_ACTORS,
    READ_PARQUET,
    TUNED_READ_PARQUET,
    own_ray,
    reading_footers_with,
)
from benchmarks.data_rounds import Measured, interleave, time_ratio
from mlops_ray.data import DatasetTable, DatasetVersion, ingest, read_version
from mlops_ray.data.planning import plan
from mlops_ray.data.ray_data import quiet
from mlops_ray.spec import ModelSpec, Workspace

__all__ = ["measure_reading"]

_FEATURES = 30
_RAW_ROWS = 250_000  # a raw file
_SEED = 7


def measure_reading(*, rows: int, rounds: int) -> Measured:
    """Rows/s of each way to read a version of `rows` rows, streamed to the driver and let go."""
    with tempfile.TemporaryDirectory(prefix="mlops-ray-bench-") as folder, own_ray():
        workspace = Workspace.at(Path(folder) / "home")
        version = _version(Path(folder) / "raw", workspace, rows)
        files = _files(workspace, version)
        ways = {
            "engine": lambda: _stream(read_version(workspace, version)),
            READ_PARQUET: lambda: _read_parquet(files),
            TUNED_READ_PARQUET: lambda: _read_parquet(files, footer_actors=FEW_FOOTER_ACTORS),
            "pyarrow.dataset": lambda: sum(batch.num_rows for batch in ds.dataset(files).to_batches()),
        }
        timed = interleave("reading", ways, rounds=rounds, clock=time.perf_counter)
    engine = timed["engine"]
    ratios = {
        "pinned_read_over_read_parquet": time_ratio(timed[READ_PARQUET], engine),
        "pinned_read_over_tuned_read_parquet": time_ratio(timed[TUNED_READ_PARQUET], engine),
        "pyarrow_dataset_over_pinned_read": time_ratio(engine, timed["pyarrow.dataset"]),
    }
    return Measured(tuple(timed.values()), ratios)


def _version(raw: Path, workspace: Workspace, rows: int) -> DatasetVersion:
    raw.mkdir()
    rng = np.random.default_rng(_SEED)
    for start in range(0, rows, _RAW_ROWS):
        count = min(_RAW_ROWS, rows - start)
        columns = {f"f{i}": rng.normal(size=count) for i in range(_FEATURES)}
        pq.write_table(pa.table(columns | {"y": rng.integers(0, 2, count)}), raw / f"{start:012}.parquet")
    features = {f"f{i}": "float" for i in range(_FEATURES)}
    spec = ModelSpec.model_validate({"name": "bench", "data": {"source": str(raw), "label": "y", "features": features}})
    return ingest(spec, workspace, now_s=0.0, run_id="bench").version


def _files(workspace: Workspace, version: DatasetVersion) -> list[str]:
    table = DatasetTable(version.table, catalog=workspace.catalog, lake=workspace.lake).load()
    if table is None:
        raise RuntimeError(f"{version.ref} is gone")
    return [task.file.file_path.removeprefix("file://") for task in plan(table, int(version.snapshot_id))]


def _read_parquet(files: list[str], *, footer_actors: int | None = None) -> int:
    with quiet(), reading_footers_with(footer_actors):  # the same settings as the engine's
        return _stream(ray.data.read_parquet(files))


def _stream(dataset: Dataset) -> int:
    return sum(batch.num_rows for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"))
