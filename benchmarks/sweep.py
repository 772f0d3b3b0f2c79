"""How fast sweeps and trainings are: `python -m benchmarks.sweep [--json] [--output FILE]`.

Everybody gets the same rows (30 columns, a fifth of them to compare on), the same search space, TPE with the same
seed, the same early stopping and the same CPUs. Each ratio is the median of the rounds' own ratios; a round has another
seed and runs all contestants one after the other.

- naive_tune_over_engine_time: Ray Tune as tutorials have it (every trial reads the Parquet files, makes its own Dataset
  and trains to its end) over this engine's sweep, the engine's one read of the files included. Both run one trial a
  CPU. What the engine saves: reads, binning, and the rounds that ASHA spares trials without prospects.
- optuna_over_engine_time: plain Optuna in one process, trials in sequence with all CPUs as threads, data in memory
  and binned once, over this engine, data in memory, its trials in sequence with all CPUs as well; until a finished
  trial reached the best AUC that both got to.
- engine_over_lightgbm_time: a sweep of one trial over `lightgbm.train` on data in memory, same threads. A sweep of a
  trainer that does next to nothing is taken off as start-up of Ray, MLflow and the worker (`start_up_s` has it);
  placing the rows in the object store, which is in that start-up, is put on again.
- torch_engine_over_bare_loop: samples/s of the `torch` trainer in a sweep of one trial over a bare PyTorch loop.

The Ray cluster is started before anything is measured.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray

ROOT = Path(__file__).resolve().parents[1]
# `python benchmarks/sweep.py` is as good as `python -m benchmarks.sweep`.
sys.path.insert(0, str(ROOT))

from benchmarks.machine import describe_machine, describe_versions  # noqa: E402
from benchmarks.sweep_contestants import (  # noqa: E402
    Course,
    engine_sweep,
    naive_tune,
    placing_s,
    plain_lightgbm,
    plain_optuna,
)
from benchmarks.sweep_data import SPACE, SweepData, read_parts, spec_of, training_data, write_data  # noqa: E402
from mlops_ray.train.training_data import Part  # noqa: E402

__all__ = ["PARTS", "main", "medians", "parse", "time_to_the_same"]

PARTS = ("naive", "optuna", "single", "torch")
_PACKAGES = ("mlops-ray", "ray", "lightgbm", "optuna", "torch", "mlflow", "numpy", "pyarrow")
_ONE = {"learning_rate": 0.1, "num_leaves": 63, "min_data_in_leaf": 50}
_NOTHING = "benchmarks.sweep_trials:start_up_only"
# the last digits of an AUC are noise, and chance alone would decide who is the first to have them
_AS_GOOD = 1e-4


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    parser.add_argument("--output", type=Path, help="write the result to this file too")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=120, help="boosting rounds of a trial at most")
    parser.add_argument("--epochs", type=int, default=5, help="of the network")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result where asked."""
    options = parse(arguments)
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else Ray leaves a token in the home folder
    os.environ.setdefault("RAY_worker_niceness", "0")  # as `mlops-ray up` has it; the others are not nice either
    machine, started_s = describe_machine(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mlops-ray-bench-") as folder:
        data = write_data(Path(folder) / "data", rows=options.rows, seed=7)
        environment = {"env_vars": {"PYTHONPATH": str(ROOT)}}
        ray.init(num_cpus=options.cpus, include_dashboard=False, log_to_driver=False, runtime_env=environment)
        try:
            ray_s = round(time.monotonic() - started_s, 1)
            rounds = [_round(options, data, Path(folder) / str(seed), seed) for seed in range(options.rounds)]
        finally:
            ray.shutdown()
    result = {
        "benchmark": "sweep",
        "machine": machine,
        "versions": describe_versions(*_PACKAGES),
        "settings": {name: getattr(options, name) for name in ("rows", "trials", "iterations", "epochs", "cpus")},
        "data_and_ray_start_s": ray_s,
        "rows": rounds,
        "ratios": medians([row["ratios"] for row in rounds]),
        "wall_s": round(time.monotonic() - started_s, 1),
    }
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(rounds, indent=1))
    print(json.dumps(result if options.json else result["ratios"]))


def medians(rounds: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """The median of each ratio over the rounds that have it."""
    values: dict[str, list[float]] = {}
    for ratios in rounds:
        for name, value in ratios.items():
            if value is not None:
                values.setdefault(name, []).append(value)
    return {name: round(statistics.median(found), 3) for name, found in values.items()}


def time_to_the_same(one: Course, other: Course) -> float | None:
    """How much longer `one` took than `other` to the best AUC that both reached."""
    if not one.best or not other.best:
        return None
    auc = min(one.best[-1][1], other.best[-1][1]) - _AS_GOOD
    seconds = one.reached_s(auc), other.reached_s(auc)
    return seconds[0] / seconds[1] if seconds[0] is not None and seconds[1] is not None else None


def _round(options: argparse.Namespace, data: SweepData, folder: Path, seed: int) -> dict[str, Any]:
    started = time.perf_counter()
    train, valid = read_parts(data)
    read_s = time.perf_counter() - started
    row: dict[str, Any] = {"seed": seed, "read_s": read_s}
    ratios: dict[str, float | None] = {}
    if "naive" in options.parts or "optuna" in options.parts:
        ratios |= _sweeps(options, data, (train, valid), folder, row)
    if "single" in options.parts:
        ratios |= _single(options, (train, valid), folder, row)
    if "torch" in options.parts:
        ratios |= _torch(options, (train, valid), folder, row)
    return {**_rounded(row), "ratios": ratios}


def _sweeps(
    options: argparse.Namespace, data: SweepData, parts: tuple[Part, Part], folder: Path, row: dict[str, Any]
) -> dict[str, float | None]:
    shared = {"trials": options.trials, "max_iterations": options.iterations, "space": SPACE, "seed": row["seed"]}
    ratios: dict[str, float | None] = {}
    if "naive" in options.parts:
        spec = spec_of("lightgbm", cpus=1, max_concurrent=options.cpus, **shared)
        engine = engine_sweep(spec, training_data(*parts), folder / "engine")
        naive = naive_tune(spec, data)
        row |= {"engine_s": engine.seconds, "engine_course": engine.best}
        row |= {"naive_tune_s": naive.seconds, "naive_tune_course": naive.best}
        ratios["naive_tune_over_engine_time"] = naive.seconds / (row["read_s"] + engine.seconds)
    if "optuna" in options.parts:
        spec = spec_of("lightgbm", cpus=options.cpus, max_concurrent=1, **shared)
        engine = engine_sweep(spec, training_data(*parts), folder / "in_sequence")
        plain = plain_optuna(spec, *parts, threads=options.cpus)
        row |= {"engine_in_sequence_s": engine.seconds, "engine_in_sequence_course": engine.best}
        row |= {"optuna_s": plain.seconds, "optuna_course": plain.best}
        ratios["optuna_over_engine_time"] = time_to_the_same(plain, engine)
    return ratios


def _single(
    options: argparse.Namespace, parts: tuple[Part, Part], folder: Path, row: dict[str, Any]
) -> dict[str, float | None]:
    shared = {"trials": 1, "scheduler": "none", "max_iterations": options.iterations, "space": _ONE}
    spec = spec_of("lightgbm", cpus=options.cpus, **shared)
    data = training_data(*parts)
    start_up = engine_sweep(spec_of(_NOTHING, cpus=options.cpus, **shared), data, folder / "nothing").seconds
    whole = engine_sweep(spec, data, folder / "single").seconds
    placed = placing_s(*parts)
    plain = plain_lightgbm(spec, *parts, threads=options.cpus)
    row |= {"single_s": whole, "start_up_s": start_up - placed, "placing_s": placed, "lightgbm_s": plain}
    return {"engine_over_lightgbm_time": (whole - start_up + placed) / plain}


def _torch(
    options: argparse.Namespace, parts: tuple[Part, Part], folder: Path, row: dict[str, Any]
) -> dict[str, float | None]:
    # 2 s to import, and not every part needs it
    from benchmarks.torch_speed import bare_samples_per_s, engine_samples_per_s

    engine = engine_samples_per_s(*parts, folder / "torch", epochs=options.epochs, cpus=options.cpus)
    bare = bare_samples_per_s(*parts, epochs=options.epochs, cpus=options.cpus)
    row |= {"torch_engine_samples_per_s": engine, "torch_bare_samples_per_s": bare}
    return {"torch_engine_over_bare_loop": engine / bare}


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}


if __name__ == "__main__":
    main()
