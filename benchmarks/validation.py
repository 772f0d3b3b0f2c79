"""How fast a batch is validated: `python -m benchmarks.validation [--json] [--output FILE]`.

The same Parquet rows, 30 columns, ten kinds of rules, in interleaved rounds on this machine:

- engine: the tasks of an ingest (read, check every rule, count, sample, merge, judge), without writing rows.
- read: Ray Data reads the same files, and nothing looks at the rows.
- great expectations: in a process and an environment of its own, on a pandas DataFrame; it counts no statistics beyond
  means and deviations, knows no duplicates and no leakage, and uses one core, while Ray has both.

`peak_memory_20m_over_1m` is the most private memory that this process and all of Ray's had at once, with 20 times the
rows over once the rows; 1 means that it does not grow. --rows and --times make it small.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# `python benchmarks/validation.py` is as good as `python -m benchmarks.validation`.
sys.path.insert(0, str(ROOT))

from benchmarks import great_expectations_app  # noqa: E402
from benchmarks.machine import describe_machine, describe_versions  # noqa: E402
from benchmarks.memory_peak import MemoryPeak  # noqa: E402
from benchmarks.validation_rows import validation_spec, write_rows  # noqa: E402

__all__ = ["main", "validation_ratios", "validation_rows"]

_PACKAGES = ("mlops-ray", "ray", "pyarrow", "numpy", "pandas")
Rows = list[dict[str, Any]]


def validation_rows(
    *, rows: int, times: int, rounds: int, great_expectations: Path | None
) -> tuple[Rows, dict[str, float]]:
    """What was measured, one dictionary a system, and the ratios; needs an initialised Ray.

    Args:
        rows: of the speed measurements.
        times: as many rows for the memory.
        rounds: of each speed measurement.
        great_expectations: the Python that has it; None leaves it out.
    """
    with tempfile.TemporaryDirectory(prefix="mlops-ray-bench-") as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        write_rows(small, rows, seed=1)
        systems: dict[str, Callable[[], float]] = {
            "engine": lambda: _timed(lambda: _validate(small)),
            "read": lambda: _timed(lambda: _read(small)),
        }
        if great_expectations is not None:
            systems["great expectations"] = lambda: _great_expectations(great_expectations, small)
        for warm in (_validate, _read):
            warm(small)
        seconds: dict[str, list[float]] = {name: [] for name in systems} if rounds else {}
        for _ in range(rounds):
            for name, measure in systems.items():
                seconds[name].append(measure())
        found: Rows = [
            {"part": "validation", "system": name, "rows": rows, "seconds": s, "rows_per_s": round(rows / min(s))}
            for name, s in seconds.items()
        ]
        if times > 1:
            write_rows(large, rows * times, seed=2)
            for where, count in ((small, rows), (large, rows * times)):
                with MemoryPeak() as peak:
                    _validate(where)
                found.append({"part": "validation memory", "system": "engine", "rows": count, "bytes": peak.bytes})
    return found, validation_ratios(found)


def validation_ratios(found: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The ratios of what was measured; of speeds the median over the rounds."""
    seconds = {row["system"]: row["seconds"] for row in found if row["part"] == "validation"}
    pairs = {
        "validation_over_great_expectations": ("great expectations", "engine"),
        "validate_over_read_time": ("engine", "read"),
    }
    ratios = {
        name: round(statistics.median(a / b for a, b in zip(seconds[one], seconds[two], strict=True)), 3)
        for name, (one, two) in pairs.items()
        if one in seconds and two in seconds
    }
    memory = [row["bytes"] for row in found if row["part"] == "validation memory"]
    return ratios | ({"peak_memory_20m_over_1m": round(memory[1] / memory[0], 3)} if len(memory) == 2 else {})


def _timed(measured: Callable[[], None]) -> float:
    began_s = time.perf_counter()
    measured()
    return round(time.perf_counter() - began_s, 3)


def _validate(folder: Path) -> None:
    # ray and all that needs it: seconds to import, and the ratios need none of it
    from mlops_ray.data.baseline import Baseline
    from mlops_ray.data.column import columns_of
    from mlops_ray.data.listing import list_sources
    from mlops_ray.data.ray_data import each_task
    from mlops_ray.data.rules import check_rows, check_schema
    from mlops_ray.data.statistics import BatchCounter, BatchStatistics, merge
    from mlops_ray.data.validation import validate
    from mlops_ray.data.work import Work, plan_work
    from mlops_ray.lake import S3Connection
    from mlops_ray.spec import parse_spec

    spec = parse_spec(json.dumps(validation_spec(folder)))
    columns = columns_of(spec)

    def counted(work: Work) -> BatchStatistics:
        import pyarrow.parquet as pq  # in a worker

        counter = BatchCounter(columns, seed=work.index)
        for part in work.parts:
            file = pq.ParquetFile(part.source.uri.removeprefix("file://"))
            check_schema(file.schema_arrow, columns, uri=part.source.uri)
            for group in part.row_groups(file.num_row_groups):
                table = file.read_row_group(group, columns=[column.name for column in columns])
                counter.add(check_rows(table, columns, source=part.source.uri), table.num_rows)
        return counter.result()

    works = plan_work(list_sources(str(folder), S3Connection()))
    batch = merge(each_task(counted, works))
    validation = validate(spec, batch, Baseline(), repeated=0, now_s=0.0)
    assert not any(result.refuses for result in validation.results)


def _read(folder: Path) -> None:
    import ray  # seconds to import

    from mlops_ray.data.ray_data import quiet  # imports ray

    with quiet():
        for _ in ray.data.read_parquet(str(folder)).iter_internal_ref_bundles():
            pass


def _great_expectations(python: Path, folder: Path) -> float:
    script = str(Path(great_expectations_app.__file__))
    done = subprocess.run([str(python), script, str(folder)], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    if result["broken"]:
        raise AssertionError(f"expected rows that keep every rule, found {result['broken']} broken")
    return round(result["seconds"], 3)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    parser.add_argument("--output", type=Path, help="write the result to this file too")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=20, help="as many rows for the memory; 1 leaves it out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--great-expectations", type=Path, default=great_expectations_app.GREAT_EXPECTATIONS)
    options = parser.parse_args(arguments)
    if not options.great_expectations.exists():
        sys.exit(f"{options.great_expectations} is not there; `make bench-setup` installs it")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else Ray leaves a token in the home folder
    import ray  # seconds to import, for nothing when the arguments are wrong

    machine, began_s = describe_machine(), time.monotonic()
    ray.init(log_to_driver=False, include_dashboard=False)
    try:
        rows, ratios = validation_rows(
            rows=options.rows,
            times=options.times,
            rounds=options.rounds,
            great_expectations=options.great_expectations,
        )
    finally:
        ray.shutdown()
    result = {
        "benchmark": "validation",
        "machine": machine,
        "versions": describe_versions(*_PACKAGES),
        "rows": rows,
        "ratios": ratios,
        "wall_s": round(time.monotonic() - began_s, 1),
    }
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(json.dumps(row) for row in rows))
    print(json.dumps(result) if options.json else json.dumps(ratios, indent=1))


if __name__ == "__main__":
    main()
