"""How fast serving and delivery are: `python -m benchmarks.serving [--json] [--output FILE]`.

One LightGBM model (100 trees, 30 features), the same rows and the same client for everybody, in interleaved rounds on
this machine. Parts, selectable with --parts; with --output, parts that are not measured stay as they are in the file:

- throughput: this engine, a plain FastAPI + orjson + LightGBM app, a tutorial's FastAPI + mlflow.pyfunc app,
  `mlflow models serve`, BentoML with adaptive batching and bare Ray Serve, one row a request over 1 and 16 keep-alive
  connections; then each at half of its own requests/s in an open loop, and the engine at that very rate.
- capture, canary, shadow, arrow: this engine with records kept or not, 10 % of the units on a canary or none, every
  request copied to an overloaded shadow or not (open loop), 5,000 rows a request as Arrow or one a request as JSON.
- changes: seconds from a changed share, and from a rollback, to the last answer that does not know of it, under load.

Each system has one worker process for the model, no access log, one thread of linear algebra, and both cores of the
machine, which the client needs some of; HAProxy and the actors of the loop count as the engine's. Nobody is pinned:
on two cores a pinned system would get the core that its own proxy or batching process needs. `server_cpu_ms` is what a
request costs on whatever core. Ends in about 12 minutes.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# `python benchmarks/serving.py` is as good as `python -m benchmarks.serving`.
sys.path.insert(0, str(ROOT))

from benchmarks.bentoml_app import BENTOML  # noqa: E402
from benchmarks.delivery import DELIVERY_PARTS, measure_delivery  # noqa: E402
from benchmarks.machine import describe_machine, describe_versions  # noqa: E402
from benchmarks.ratios import ratios  # noqa: E402
from benchmarks.sampling import Row, Timing  # noqa: E402
from benchmarks.throughput import SYSTEMS, measure_throughput  # noqa: E402
from benchmarks.workload import make_workload  # noqa: E402

__all__ = ["PARTS", "main", "merged", "parse"]

PARTS = ("throughput", *DELIVERY_PARTS)
_PACKAGES = ("mlops-ray", "ray", "lightgbm", "fastapi", "uvicorn", "mlflow", "pandas", "numpy", "orjson", "msgspec")
_REQUIREMENTS = Path(__file__).with_name("bentoml-requirements.txt")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    parser.add_argument("--output", type=Path, help="write the result to this file too")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    names = [system.name for system in SYSTEMS]
    parser.add_argument("--systems", nargs="+", choices=names, default=names, help="only these in part throughput")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result where asked."""
    options = parse(arguments)
    if "bentoml" in options.systems and "throughput" in options.parts and not BENTOML.exists():
        sys.exit(f"{BENTOML} is not there; `make bench-setup` installs it, or leave bentoml out with --systems")
    machine, started_s = describe_machine(), time.monotonic()
    rows: list[Row] = []
    timings: list[Timing] = []
    for more_rows, more_timings in _measured(options):
        rows += more_rows
        timings += more_timings
        result = {
            "benchmark": "serving",
            "machine": machine,
            "versions": describe_versions(*_PACKAGES) | {"bentoml": _bentoml_version()},
            "rows": [asdict(row) for row in rows] + [asdict(timing) for timing in timings],
            "ratios": ratios(rows, timings),
            "wall_s": round(time.monotonic() - started_s, 1),
        }
        if options.output is not None:  # already here: what fails later does not take it away
            before = json.loads(options.output.read_text()) if options.output.exists() else {}
            options.output.write_text(json.dumps(merged(before, result), indent=1) + "\n")
    print(_table(rows))
    if options.json:
        print(json.dumps(result))
    else:
        print(json.dumps(result["ratios"], indent=1))


def merged(before: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """The result with the rows and ratios of `before` that it does not have itself."""
    measured = {row["part"] for row in result["rows"]}
    kept = [row for row in before.get("rows", []) if row.get("part", "") not in (measured | {""})]
    ratios_kept = before.get("ratios", {}) if kept else {}
    return {**result, "rows": [*kept, *result["rows"]], "ratios": {**ratios_kept, **result["ratios"]}}


def _measured(options: argparse.Namespace) -> Iterator[tuple[list[Row], list[Timing]]]:
    """What each part gives, as soon as it has given it."""
    with tempfile.TemporaryDirectory(prefix="mlops-ray-bench-") as folder:
        workload = make_workload(Path(folder), seed=7)
        if "throughput" in options.parts:
            systems = [system for system in SYSTEMS if system.name in options.systems]
            yield measure_throughput(systems, workload, rounds=options.rounds, seconds=options.seconds), []
        parts = [part for part in options.parts if part in DELIVERY_PARTS]
        if parts:
            yield from measure_delivery(parts, workload, rounds=options.rounds, seconds=options.seconds)


def _bentoml_version() -> str:
    """As pinned; it lives in an environment of its own."""
    lines = _REQUIREMENTS.read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith("bentoml=="))


def _table(rows: Sequence[Row]) -> str:
    lines = [f"{'part':34}{'system':18}{'load':>16}{'rows/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>9}{'client':>8}"]
    for r in rows:
        cpu = f"{r.server_cpu_ms:.3f}" if r.server_cpu_ms is not None else ""
        lines.append(
            f"{r.part:34}{r.system:18}{r.load:>16}{r.rows_per_s:10.0f}{r.p50_ms:9.2f}{r.p99_ms:9.2f}{cpu:>9}"
            f"{r.client_cpu_share:8.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
