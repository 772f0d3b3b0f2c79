"""How fast versioned data is read, planned and validated: `python -m benchmarks.data [--json] [--rows N]`.

- reading: a table of N rows and 31 columns goes through an ingest, and its version is read in one cluster, by the
  engine (`read_version`, streamed), by `ray.data.read_parquet` of the same files, and by pyarrow.dataset in this
  process alone, which is as fast as these files can be read on this machine.
- planning: the files of a snapshot of --files files, which exist in the metadata only, are found by pyiceberg's own
  scan and by the engine's.
- validation: N / 2 rows, by the engine and by Great Expectations, against only reading them.
- memory: the most at once when N / 2 rows are validated, and --times as many.

Each is done in interleaved rounds after one that does not count, but for the memory, and each ratio is the median over
the rounds of the rounds' own ratios. Great Expectations needs `make bench-setup`.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

# `python benchmarks/data.py` is as good as `python -m benchmarks.data`.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.data_planning import measure_planning
from benchmarks.data_reading import measure_reading
from benchmarks.data_rounds import Measured
from benchmarks.great_expectations_app import GREAT_EXPECTATIONS
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.validation import measure_memory, measure_validation

__all__ = ["PARTS", "main", "parse"]

_PACKAGES = ("mlops-ray", "ray", "pyiceberg", "pyarrow", "numpy", "pandas")
Part = Callable[[argparse.Namespace], Measured]

PARTS: dict[str, Part] = {
    "reading": lambda options: measure_reading(rows=options.rows, rounds=options.rounds),
    "planning": lambda options: measure_planning(files=options.files, rounds=options.rounds),
    "validation": lambda options: measure_validation(
        rows=options.rows // 2, rounds=options.rounds, great_expectations=options.great_expectations
    ),
    "memory": lambda options: measure_memory(rows=options.rows // 2, times=options.times),
}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    parser.add_argument("--output", type=Path, help="write the result to this file too")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--rows", type=int, default=2_000_000, help="of the table that is read; half as many are validated"
    )
    parser.add_argument("--times", type=int, default=20, help="as many rows for the memory")
    parser.add_argument("--files", type=int, default=10_000, help="of the snapshot that is planned")
    parser.add_argument("--great-expectations", type=Path, default=GREAT_EXPECTATIONS, help="the Python that has it")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result where asked."""
    options = parse(arguments)
    if "validation" in options.parts and not options.great_expectations.exists():
        sys.exit(f"{options.great_expectations} is not there; `make bench-setup` installs it")
    machine, started_s = describe_machine(), time.monotonic()
    measured = [PARTS[part](options) for part in options.parts]
    rows = [row for part in measured for row in part.rows]
    result = {
        "benchmark": "data",
        "machine": machine,
        "versions": describe_versions(*_PACKAGES),
        "rows": [asdict(row) for row in rows],
        "ratios": {name: value for part in measured for name, value in part.ratios.items()},
        "wall_s": round(time.monotonic() - started_s, 1),
    }
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{'part':12}{'system':26}{'rows or files':>14}{'s':>9}{'per s':>13}{'peak MB':>10}")
    for row in rows:
        peak = f"{row.peak_bytes / 1e6:10,.0f}" if row.peak_bytes is not None else ""
        print(f"{row.part:12}{row.system:26}{row.amount:14,}{row.median_s:9.3f}{row.per_s:13,.0f}{peak}")
    print(json.dumps(result) if options.json else json.dumps(result["ratios"], indent=1))


if __name__ == "__main__":
    main()
