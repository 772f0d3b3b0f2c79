"""How fast nets learn on CUDA: `python -m benchmarks.gpu.images [--json] [--output FILE]`.

As `benchmarks.images`, which says what the contestants are, on larger pictures, a model of torchvision and bfloat16;
and as the part `torch` of `benchmarks.sweep` for tables. Each ratio is the median of the rounds' own ratios.

- engine_over_dataloader_samples_per_s, streamed_over_dataloader_samples_per_s, engine_over_in_memory_samples_per_s:
  as there, with one worker and one GPU.
- torch_engine_over_bare_loop: the `torch` trainer over a bare loop, rows on the device in both.
- scaling_N: samples/s of N workers with a GPU each over N times that of one, each worker with as large a batch; as many
  N as the machine has GPUs, in powers of two. 1.0 is what nobody reaches.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
import torch

ROOT = Path(__file__).resolve().parents[2]
# `python benchmarks/gpu/images.py` is as good as `python -m benchmarks.gpu.images`.
sys.path.insert(0, str(ROOT))

from benchmarks.image_contestants import (  # noqa: E402
    Contest,
    dataloader_samples_per_s,
    engine_samples_per_s,
    in_memory_samples_per_s,
)
from benchmarks.image_data import picture_part  # noqa: E402
from benchmarks.images import image_ratios  # noqa: E402
from benchmarks.machine import describe_machine, describe_versions  # noqa: E402
from benchmarks.sweep import medians  # noqa: E402
from benchmarks.sweep_data import read_parts, write_data  # noqa: E402

__all__ = ["main", "parse", "refuse_without_cuda", "worker_counts"]

_PACKAGES = ("mlops-ray", "ray", "torch", "torchvision", "pillow", "numpy", "pyarrow")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    parser.add_argument("--output", type=Path, help="write the result to this file too")
    parser.add_argument("--rows", type=int, default=8_192, help="pictures to learn from, for each GPU in use")
    parser.add_argument("--size", type=int, default=96, help="of a picture, in pixels")
    parser.add_argument("--architecture", default="resnet18", help="small, or a model of torchvision")
    parser.add_argument("--precision", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--batch", type=int, default=256, help="of each worker")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--loaders", type=int, nargs="+", default=[4, 8, 14], help="DataLoader's processes to try")
    parser.add_argument("--cpus", type=int, default=8, help="of a worker")
    parser.add_argument("--table-rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result where asked."""
    options = parse(arguments)
    refuse_without_cuda()
    machine, started_s = describe_machine(), time.monotonic()
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    with tempfile.TemporaryDirectory(prefix="mlops-ray-bench-") as folder:
        # Ray's workers give way to every other process, which the bare loops here do not
        os.environ.setdefault("RAY_worker_niceness", "0")
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else Ray leaves a token in the home folder
        environment = {"env_vars": {"PYTHONPATH": str(ROOT)}}
        cpus = options.cpus * len(gpus)
        ray.init(
            num_cpus=cpus, num_gpus=len(gpus), include_dashboard=False, log_to_driver=False, runtime_env=environment
        )
        try:
            rounds = [_round(options, Path(folder) / str(number), len(gpus)) for number in range(options.rounds)]
        finally:
            ray.shutdown()
    result = {
        "benchmark": "gpu.images",
        "machine": machine | {"gpus": gpus, "cuda": torch.version.cuda},
        "versions": describe_versions(*_PACKAGES),
        "settings": {name: value for name, value in vars(options).items() if name not in ("json", "output")},
        "rows": rounds,
        "ratios": medians([_ratios(row) for row in rounds]),
        "wall_s": round(time.monotonic() - started_s, 1),
    }
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(rounds, indent=1))
    print(json.dumps(result if options.json else result["ratios"]))


def refuse_without_cuda() -> None:
    """End the program with a sentence where torch finds no CUDA device."""
    if not torch.cuda.is_available():
        raise SystemExit(
            f"benchmarks.gpu needs a CUDA device, and torch {torch.__version__} finds none here; "
            "`python -m benchmarks.images` measures the same on CPUs"
        )


def worker_counts(gpus: int) -> list[int]:
    """Powers of two from 2 on that so many GPUs have room for.

    >>> worker_counts(1), worker_counts(6)
    ([], [2, 4])
    """
    return [2**power for power in range(1, gpus.bit_length()) if 2**power <= gpus]


def _round(options: argparse.Namespace, folder: Path, gpus: int) -> dict[str, Any]:
    contest = _contest(options, 1)
    engine = engine_samples_per_s(contest, folder / "engine", decoding="once")
    row: dict[str, Any] = {
        "engine": engine,
        "dataloader": {str(n): dataloader_samples_per_s(contest, loaders=n) for n in options.loaders},
        "in_memory": in_memory_samples_per_s(contest),
        "streamed": engine_samples_per_s(contest, folder / "streamed", decoding="each_epoch"),
        "workers": {"1": engine},
    }
    for count in worker_counts(gpus):
        shared = _contest(options, count)
        row["workers"][str(count)] = engine_samples_per_s(
            shared, folder / f"workers-{count}", decoding="once", workers=count
        )
    return row | _tables(options, folder)


def _tables(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    from benchmarks.torch_speed import bare_samples_per_s
    from benchmarks.torch_speed import engine_samples_per_s as table_samples_per_s

    parts = read_parts(write_data(folder / "tables", rows=options.table_rows, seed=7))
    shared = {"epochs": options.epochs, "cpus": options.cpus}
    return {
        "torch_engine": table_samples_per_s(*parts, folder / "torch", gpus=1, **shared),
        "torch_bare": bare_samples_per_s(*parts, device="cuda", **shared),
    }


def _ratios(row: dict[str, Any]) -> dict[str, float | None]:
    found = image_ratios(row) | {"torch_engine_over_bare_loop": row["torch_engine"] / row["torch_bare"]}
    alone = row["workers"]["1"]
    for count, rate in row["workers"].items():
        if count != "1":
            found[f"scaling_{count}"] = rate / (int(count) * alone)
    return found


def _contest(options: argparse.Namespace, workers: int) -> Contest:
    return Contest(
        picture_part(options.rows * workers, size=options.size, seed=1),
        picture_part(max(64, options.rows // 8), size=options.size, seed=2),
        size=options.size,
        epochs=options.epochs,
        cpus=options.cpus,
        device="cuda",
        architecture=options.architecture,
        precision=options.precision,
        batch_size=options.batch * workers,
    )


if __name__ == "__main__":
    main()
