"""How fast a batch is validated, and in how much memory: the parts `validation` and `memory` of `benchmarks.data`.

The same Parquet rows, 30 columns, ten kinds of rules, in interleaved rounds on this machine:

- engine: the tasks of an ingest (read, check every rule, count, sample, merge, judge), without writing rows.
- ray.data.read_parquet: Ray Data reads the same files, and nothing looks at the rows; once more with fewer actors that
  read footers.
- reading tasks: the engine's tasks read the same files with the same reader, and do nothing else.
- Great Expectations: in a process and an environment of its own that stays from round to round, on a pandas DataFrame;
  it counts no statistics beyond means and deviations, knows no duplicates and no leakage, and uses one core, while Ray
  has all.

Memory is the most private memory that this process and all of Ray's had at once.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import ray

from benchmarks import great_expectations_app
from benchmarks.data_cluster import (
    FEW_FOOTER_ACTORS,
    READ_PARQUET,
    TUNED_READ_PARQUET,
    own_ray,
    reading_footers_with,
)
from benchmarks.data_rounds import Measured, Timed, interleave, time_ratio
from benchmarks.memory_peak import MemoryPeak
from benchmarks.validation_rows import validation_spec, write_rows
from mlops_ray.data.baseline import Baseline
from mlops_ray.data.column import Column, columns_of
from mlops_ray.data.listing import list_sources
from mlops_ray.data.ray_data import each_task, quiet, run_tasks
from mlops_ray.data.reader import read_part
from mlops_ray.data.rules import check_rows
from mlops_ray.data.statistics import BatchCounter, BatchStatistics, merge
from mlops_ray.data.validation import validate
from mlops_ray.data.work import Work, plan_work
from mlops_ray.lake import S3Connection
from mlops_ray.spec import Csv, ModelSpec, parse_spec

__all__ = ["measure_memory", "measure_validation", "memory_ratios", "validation_ratios"]

_ENGINE = "engine"
_TASKS = "reading tasks"
_GREAT_EXPECTATIONS = "Great Expectations"
_FEW_RUNS = 3
_FIRST_ROWS = 1_000
_FIRST_S = 2.0  # a task of each worker: until all have one
_IDLE_S = 2.0  # enough to look at the memory a few times


def measure_validation(*, rows: int, rounds: int, great_expectations: Path | None) -> Measured:
    """Seconds that each way takes for `rows` rows.

    Args:
        rows: of the batch.
        rounds: of each way.
        great_expectations: the Python that has it; None leaves it out.
    """
    with tempfile.TemporaryDirectory(prefix="mlops-ray-bench-") as home, own_ray(), _asked(great_expectations) as ask:
        folder = Path(home) / "rows"
        write_rows(folder, rows, seed=1)
        ways: dict[str, Callable[[], int]] = {
            _ENGINE: lambda: _validate(folder),
            READ_PARQUET: lambda: _read_parquet(folder),
            TUNED_READ_PARQUET: lambda: _read_parquet(folder, footer_actors=FEW_FOOTER_ACTORS),
            _TASKS: lambda: _read_in_tasks(folder),
        }
        if ask is not None:
            ways[_GREAT_EXPECTATIONS] = lambda: ask(folder)
        timed = interleave("validation", ways, rounds=rounds, clock=time.perf_counter)
    return Measured(tuple(timed.values()), validation_ratios(timed))


def validation_ratios(timed: Mapping[str, Timed]) -> dict[str, float]:
    """The ratios of what was measured, by way."""
    engine = timed[_ENGINE]
    found = {
        "validate_over_read_time": time_ratio(engine, timed[READ_PARQUET]),
        "validate_over_tuned_read_time": time_ratio(engine, timed[TUNED_READ_PARQUET]),
        "validate_over_own_read_time": time_ratio(engine, timed[_TASKS]),
    }
    if _GREAT_EXPECTATIONS in timed:
        found["validation_over_great_expectations"] = time_ratio(timed[_GREAT_EXPECTATIONS], engine)
    return found


def measure_memory(*, rows: int, times: int) -> Measured:
    """The most memory at once when `rows` rows are validated, and `times` as many, each in a Ray of its own.

    The few rows are validated a few times over: a worker keeps some memory of its first task for the next ones, however
    many there are, and a short run is looked at too seldom.
    """
    few, many = _peak(rows, runs=_FEW_RUNS), _peak(rows * times, runs=1)
    return Measured((*few, *many), memory_ratios(few, many, times=times))


def memory_ratios(few: tuple[Timed, Timed], many: tuple[Timed, Timed], *, times: int) -> dict[str, float]:
    """Of all memory, and of what came on top of that of an idle Ray: each pair is an idle one and one at work."""
    (few_idle, few_peak), (many_idle, many_peak) = ([row.peak_bytes or 0 for row in pair] for pair in (few, many))
    found = {f"peak_memory_{times}x_rows_over_1x": round(many_peak / few_peak, 3)}
    if few_peak > few_idle:  # else too few rows to be seen
        above = (many_peak - many_idle) / (few_peak - few_idle)
        found[f"memory_above_idle_{times}x_rows_over_1x"] = round(above, 3)
    return found


def _peak(rows: int, *, runs: int) -> tuple[Timed, Timed]:
    with tempfile.TemporaryDirectory(prefix="mlops-ray-bench-") as home, own_ray():
        folder, first = Path(home) / "rows", Path(home) / "first"
        write_rows(folder, rows, seed=2)
        write_rows(first, _FIRST_ROWS, seed=3)
        _start_workers(first)
        found = []
        for system, work in (("idle", _idle), (_ENGINE, lambda: _validate(folder))):
            with MemoryPeak() as peak:
                timed = interleave("memory", {system: work}, rounds=runs, clock=time.perf_counter, warm_up=False)
            found.append(replace(timed[system], peak_bytes=peak.bytes))
    idle, engine = found
    return idle, engine


def _start_workers(folder: Path) -> None:
    """A worker a core is there, and has imported what it needs: otherwise one alone would do the few rows."""
    (work,) = _works(folder)
    counted = _counted(columns_of(parse_spec(json.dumps(validation_spec(folder)))))

    def slowly(_: int) -> int:
        rows = counted(work).rows
        time.sleep(_FIRST_S)
        return rows

    run_tasks(slowly, range(2 * int(ray.cluster_resources()["CPU"])))


def _idle() -> int:
    time.sleep(_IDLE_S)
    return 0


def _validate(folder: Path) -> int:
    spec = parse_spec(json.dumps(validation_spec(folder)))
    batch = merge(each_task(_counted(columns_of(spec)), _works(folder)))
    _judge(spec, batch)
    return batch.rows


def _counted(columns: tuple[Column, ...]) -> Callable[[Work], BatchStatistics]:
    def count(work: Work) -> BatchStatistics:
        counter = BatchCounter(columns, seed=work.index)
        for part in work.parts:
            with Path(part.source.uri.removeprefix("file://")).open("rb") as stream:
                for table in read_part(stream, part, columns, Csv()):
                    counter.add(check_rows(table, columns, source=part.source.uri), table.num_rows)
        return counter.result()

    return count


def _judge(spec: ModelSpec, batch: BatchStatistics) -> None:
    results = validate(spec, batch, Baseline(), repeated=0, now_s=0.0).results
    if any(result.refuses for result in results) or batch.quarantined_rows:
        raise RuntimeError("expected rows that keep every rule, found some that do not")


def _works(folder: Path) -> tuple[Work, ...]:
    return plan_work(list_sources(str(folder), S3Connection()))


def _read_in_tasks(folder: Path) -> int:
    columns = columns_of(parse_spec(json.dumps(validation_spec(folder))))

    def count(work: Work) -> int:
        rows = 0
        for part in work.parts:
            with Path(part.source.uri.removeprefix("file://")).open("rb") as stream:
                rows += sum(table.num_rows for table in read_part(stream, part, columns, Csv()))
        return rows

    return sum(each_task(count, _works(folder)))


def _read_parquet(folder: Path, *, footer_actors: int | None = None) -> int:
    with quiet(), reading_footers_with(footer_actors):
        bundles = ray.data.read_parquet(str(folder)).iter_internal_ref_bundles()
        return sum(bundle.num_rows() or 0 for bundle in bundles)


@contextmanager
def _asked(python: Path | None) -> Iterator[Callable[[Path], int] | None]:
    """What has the rows of a folder validated by Great Expectations; None without its Python."""
    if python is None:
        yield None
        return
    command = [str(python), str(Path(great_expectations_app.__file__))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        questions, answers = process.stdin, process.stdout
        assert questions is not None
        assert answers is not None

        def ask(folder: Path) -> int:
            print(folder, file=questions, flush=True)
            result = json.loads(answers.readline())
            if result["broken"]:
                raise RuntimeError(f"expected rows that keep every rule, found {result['broken']} broken")
            return int(result["rows"])

        yield ask  # closing its input ends it
