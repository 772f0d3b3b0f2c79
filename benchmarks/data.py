"""How fast versioned data is read and planned: `python -m benchmarks.data [--json] [--rows N] [--output FILE]`.

A table of N rows and 30 columns goes through an ingest, and its version is read in interleaved rounds, in one cluster,
after a round that does not count: by the engine (`read_version`, streamed), by `ray.data.read_parquet` of the same
files, and by pyarrow.dataset in this process alone, which is as fast as these files can be read on this machine. Then
the files of a snapshot of --files files are planned, by pyiceberg's own scan and by the engine's; these exist in the
metadata only. Each ratio is the median over the rounds of the rounds' own ratios.
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
from benchmarks.machine import describe_machine, describe_versions

__all__ = ["PARTS", "main", "parse"]

_PACKAGES = ("mlops-ray", "ray", "pyiceberg", "pyarrow", "numpy", "pandas")
Part = Callable[[argparse.Namespace], Measured]

PARTS: dict[str, Part] = {
    "reading": lambda options: measure_reading(rows=options.rows, rounds=options.rounds),
    "planning": lambda options: measure_planning(files=options.files, rounds=options.rounds),
}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    parser.add_argument("--output", type=Path, help="write the result to this file too")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2_000_000, help="of the table that is read")
    parser.add_argument("--files", type=int, default=10_000, help="of the snapshot that is planned")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result where asked."""
    options = parse(arguments)
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
    print(f"{'part':12}{'system':24}{'rows or files':>14}{'s':>9}{'per s':>13}")
    for row in rows:
        print(f"{row.part:12}{row.system:24}{row.amount:14,}{row.median_s:9.3f}{row.per_s:13,.0f}")
    print(json.dumps(result) if options.json else json.dumps(result["ratios"], indent=1))


if __name__ == "__main__":
    main()
