"""Whether the loop keeps up with a world that changes: `python -m benchmarks.electricity [--json] [--output FILE]`.

45,312 half-hours of the electricity market of New South Wales (Harries 1999) in time order; the first 60 days train the
first champion, every later row is answered before its label is known, and labels come a day late. Accuracies are
prequential: over all answers, each by the champion of its moment.

- loop: alerts on concept drift and decay start retrainings, as triggers and guards of the spec allow.
- schedule: as many retrainings as the loop made, at equal distances and with no gates; the mean and the range over five
  phases of the schedule, because where its dates fall is luck.
- frozen: the first champion for ever.
- drifting features: the same rows shuffled, so that errors stay, with two features beside them that wander away.

What is real: signature, LightGBM trainer, split, gates, bundles, reference profiles, records, labels, the join, every
judge, alerts, triggers and guards, the store; all with the time of the rows for a clock. What is not: answers do not
travel over HTTP, a retraining is not a Ray job (it is done between two rows), and a new version takes over without a
canary. So this shows the decisions, not the cluster; electricity_served.py shows it on one.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# `python benchmarks/electricity.py` is as good as `python -m benchmarks.electricity`.
sys.path.insert(0, str(ROOT))

from benchmarks.electricity_loop import run_loop, run_schedule  # noqa: E402
from benchmarks.electricity_numbers import PHASES, comparison, numbers_of, schedules_of  # noqa: E402
from benchmarks.electricity_picture import draw  # noqa: E402
from benchmarks.electricity_stream import DAY_ROWS, Stream, drifting_features, read_electricity, spec_of  # noqa: E402
from benchmarks.machine import describe_machine, describe_versions  # noqa: E402

__all__ = ["main", "parse"]

_PACKAGES = ("mlops-ray", "lightgbm", "numpy", "scipy", "pyarrow")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    parser.add_argument("--output", type=Path, help="write the result to this file too")
    parser.add_argument("--picture", type=Path, help="draw the curves into this PNG file")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "electricity" / "elec.csv")
    parser.add_argument("--days", type=int, help="only so many days; all by default")
    parser.add_argument("--first-days", type=int, default=60, help="days that the first champion is trained on")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, and write the result where asked."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options = parse(arguments)
    machine, started_s = describe_machine(), time.monotonic()
    stream, begin = read_electricity(options.data), options.first_days * DAY_ROWS
    if options.days is not None:
        stream = stream.first(options.days * DAY_ROWS)
    print("electricity in time order", flush=True)
    real = _contest(stream, begin)
    print("features that drift while errors stay", flush=True)
    calm = drifting_features(stream, seed=0)
    steady = run_loop(spec_of(calm), calm, begin=begin, progress=_tell)
    result: dict[str, Any] = {
        "machine": machine,
        "versions": describe_versions(*_PACKAGES),
        "spec": json.loads(spec_of(stream).model_dump_json()),
        "rows": len(stream),
        "first_champion_rows": begin,
        "electricity": real["numbers"],
        "drifting_features": numbers_of(steady),
        "wall_s": round(time.monotonic() - started_s, 1),
    }
    if options.picture is not None:
        options.picture.write_bytes(draw(real["results"], steady, begin=begin))
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(_text(result), flush=True)
    if options.json:
        print(json.dumps(result))


def _contest(stream: Stream, begin: int) -> dict[str, Any]:
    spec = spec_of(stream)
    loop = run_loop(spec, stream, begin=begin, progress=_tell)
    frozen = run_schedule(spec, stream, begin=begin, retrain_at=[])
    schedules = schedules_of(spec, stream, begin=begin, count=len(loop.retrained_at))
    results = {"loop": loop, "schedule": schedules[PHASES.index(0.0)], "frozen": frozen}
    return {"numbers": comparison(loop, frozen.accuracy, schedules), "results": results}


def _tell(text: str) -> None:
    print(f"  {text}", flush=True)


def _text(result: Mapping[str, Any]) -> str:
    real, calm = result["electricity"], result["drifting_features"]
    return "\n".join(
        [
            f"loop      {real['loop']['accuracy']:.4f}  with {real['loop']['retrainings']} retrainings",
            f"schedule  {real['schedule_accuracy']:.4f}  with as many, phases {real['schedule_accuracies']}",
            f"frozen    {real['frozen_accuracy']:.4f}",
            f"drifting features: {calm['accuracy']:.4f}, {calm['retrainings']} retrainings, alerts {calm['alerts']}",
        ]
    )


if __name__ == "__main__":
    main()
