"""How fast, how exact and how calm drift is judged: `python -m benchmarks.drift [--json] [--parts ...]`.

- speed: 100,000 rows of 100 columns are folded and judged by the engine, by exact scipy and by Evidently, in CPU
  seconds of one thread, in interleaved rounds after one that does not count (`benchmarks.drift_speed`).
- accuracy: the largest difference between the engine's distances and exact ones on the same rows.
- alarms: 30 days without drift, 50 features with a daily season (`benchmarks.drift_alarms`).
- detection: a shift of a quarter of a standard deviation in 1 of 50 features.
- wide: a file's worth of rows of many columns that are made as they are read, on Ray Data (`benchmarks.drift_wide`);
  3,000,000 rows of 1,000 columns with --wide-rows 3000000 --wide-columns 1000.

What capturing costs a replica is measured by `benchmarks.serving`: `capture_on_over_off`. Each library has one thread.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

# `python benchmarks/drift.py` is as good as `python -m benchmarks.drift`.
ROOT = str(Path(__file__).resolve().parents[1])
sys.path.insert(0, ROOT)
if __name__ == "__main__":
    # Read by numpy when it is imported, and by the workers of the part `wide`.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH"))))

from benchmarks.drift_alarms import detected_share, measure_alarms  # noqa: E402
from benchmarks.drift_speed import Samples, distance_errors, measure_speed  # noqa: E402
from benchmarks.drift_wide import measure_wide  # noqa: E402
from benchmarks.machine import describe_machine, describe_versions  # noqa: E402

__all__ = ["PARTS", "main", "parse"]

PARTS = ("speed", "accuracy", "alarms", "detection", "wide")
_PACKAGES = ("mlops-ray", "ray", "evidently", "numpy", "scipy", "pandas")
Found = tuple[list[dict[str, Any]], dict[str, float]]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    parser.add_argument("--output", type=Path, help="write the result to this file too")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--without-evidently", action="store_true", help="it takes more than half of the time")
    parser.add_argument("--months", type=int, default=24, help="of hourly windows drawn as counts")
    parser.add_argument("--sliding-months", type=int, default=3)
    parser.add_argument("--runs", type=int, default=400, help="of the detection")
    parser.add_argument("--wide-rows", type=int, default=300_000)
    parser.add_argument("--wide-columns", type=int, default=1_000)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result where asked."""
    options, started_s = parse(arguments), time.monotonic()
    machine, rows, ratios = describe_machine(), list[dict[str, Any]](), dict[str, float]()
    for part in options.parts:
        found = _PARTS[part](options)
        rows += found[0]
        ratios |= found[1]
        print(f"{part}: {json.dumps(found[1])}", flush=True)
    ratios |= _extrapolated(rows)
    result = {
        "benchmark": "drift",
        "machine": machine,
        "versions": describe_versions(*_PACKAGES),
        "rows": rows,
        "ratios": ratios,
        "wall_s": round(time.monotonic() - started_s, 1),
    }
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1) + "\n")
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    print(json.dumps(result) if options.json else json.dumps(ratios, indent=1))


def _speed(options: argparse.Namespace) -> Found:
    measured = measure_speed(
        rows=options.rows, columns=options.columns, rounds=options.rounds, evidently=not options.without_evidently
    )
    return [asdict(row) for row in measured.rows], dict(measured.ratios)


def _accuracy(options: argparse.Namespace) -> Found:
    errors = distance_errors(Samples.of(options.rows, options.columns, seed=1))
    rows = [{"part": "accuracy", "distance": name, "largest_error": error} for name, error in errors.items()]
    return rows, {"max_distance_error": max(errors.values())}


def _alarms(options: argparse.Namespace) -> Found:
    found = measure_alarms(months=options.months, sliding_months=options.sliding_months, seed=1)
    hourly = [one for one in found if one.system.startswith("engine, hourly")]
    sliding = [one for one in found if one.system.startswith("engine, sliding")]
    ratios = {
        "false_alarms_30d": _per_month(hourly),
        "false_alarms_30d_sliding": _per_month(sliding),
        "false_alarms_30d_naive_ks": next(one.per_30_days for one in found if one.system == "KS p < .05"),
    }
    return [{"part": "alarms"} | asdict(one) for one in found], ratios


def _per_month(found: Sequence[Any]) -> float:
    return round(sum(one.alarms for one in found) / max(1, sum(one.months for one in found)), 4)


def _detection(options: argparse.Namespace) -> Found:
    share = detected_share(runs=options.runs, seed=1)
    return [{"part": "detection", "runs": options.runs, "share": share}], {"detect_025sd_share": round(share, 4)}


def _extrapolated(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Evidently's CPU seconds for as many values as the wide table has, over the engine's: two cores for its time.

    By its seconds for a value of the part `speed`: it would have to hold both tables in memory.
    """
    evidently = [row["median_s"] / row["amount"] for row in rows if row.get("system") == "Evidently"]
    wide = [row for row in rows if row["part"] == "wide"]
    if not evidently or not wide:
        return {}
    most = max(wide, key=lambda row: int(row["cores"]))
    seconds = evidently[0] * most["rows"] * most["columns"]
    return {"evidently_over_wide_cpu_time_extrapolated": round(seconds / (most["wall_s"] * most["cores"]), 1)}


def _wide(options: argparse.Namespace) -> Found:
    return measure_wide(rows=options.wide_rows, columns=options.wide_columns)


_PARTS = {"speed": _speed, "accuracy": _accuracy, "alarms": _alarms, "detection": _detection, "wide": _wide}

if __name__ == "__main__":
    main()
