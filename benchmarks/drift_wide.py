"""Offline drift of a wide table on Ray Data: the part `wide` of `benchmarks.drift`.

Rows are made by the tasks that fold them, block by block, and are never stored: 3,000,000 rows of 1,000 columns are 24
GB. The same is done on one core and on two, in a Ray of its own each time; a row of the result says how many seconds of
these the making of rows takes, measured alone. Evidently is extrapolated from its CPU seconds for a value of a smaller
table (the part `speed`), which is in its favour: it would have to hold both tables in memory.
"""

import os
import time
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.memory_peak import MemoryPeak
from mlops_ray.drift import Column, ReferenceProfile, build_reference
from mlops_ray.spec import Thresholds

__all__ = ["measure_wide"]

_BLOCK_ROWS = 5_000
_REFERENCE_ROWS = 10_000
_SHIFTED = 10  # every tenth column
_SHIFT = 0.3


def measure_wide(*, rows: int, columns: int) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Seconds, peak memory and features found on one core and on two."""
    reference = _reference(columns)
    making_s = _making_s(columns) * rows / _BLOCK_ROWS
    found = [_run(reference, rows, columns, cores) for cores in (1, min(2, os.cpu_count() or 1))]
    for row in found:
        row["making_rows_cpu_s"] = round(making_s, 1)
    ratios = {
        "wide_1_core_over_2_cores_time": round(found[0]["wall_s"] / found[1]["wall_s"], 3),
        "wide_million_values_per_s": round(rows * columns / found[1]["wall_s"] / 1e6, 2),
    }
    return found, ratios


def _run(reference: ReferenceProfile, rows: int, columns: int, cores: int) -> dict[str, Any]:
    import ray

    from mlops_ray.monitor.offline_drift import offline_drift

    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else Ray leaves a token in the home folder
    ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False)
    try:
        offline_drift(reference, _rows(cores, columns), Thresholds())  # workers start
        with MemoryPeak() as peak:
            start_s = time.perf_counter()
            report = offline_drift(reference, _rows(rows // _BLOCK_ROWS, columns), Thresholds())
            wall_s = time.perf_counter() - start_s
    finally:
        ray.shutdown()
    return {
        "part": "wide",
        "cores": cores,
        "rows": report.rows,
        "columns": columns,
        "wall_s": round(wall_s, 2),
        "peak_bytes": peak.bytes,
        "drifted": len(report.drifted),
    }


def _rows(blocks: int, columns: int) -> Any:
    import ray

    return ray.data.range(blocks, override_num_blocks=blocks).map_batches(
        lambda batch: _block(int(batch["id"][0]), columns), batch_size=1
    )


def _block(number: int, columns: int) -> pa.Table:
    values = np.random.default_rng((7, number)).standard_normal((columns, _BLOCK_ROWS))
    values[::_SHIFTED] += _SHIFT
    return pa.table({f"f{i}": values[i] for i in range(columns)})


def _reference(columns: int) -> ReferenceProfile:
    values = np.random.default_rng(8).standard_normal((_REFERENCE_ROWS, columns))
    return build_reference([Column(f"f{i}", "numeric") for i in range(columns)], values)


def _making_s(columns: int) -> float:
    start_s = time.process_time()
    for number in range(3):
        _block(number, columns)
    return (time.process_time() - start_s) / 3
