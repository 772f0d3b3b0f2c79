"""How fast nets learn from pictures: `python -m benchmarks.images [--json] [--output FILE]`.

JPEG files are made from a seed. Everybody gets the same files, net, optimizer, batches, augmentation (crop and flip),
threads and validation after each epoch; samples/s are those of the epochs after the first one. Each ratio is the median
of the rounds' own ratios; a round runs all contestants one after the other.

- engine_over_dataloader_samples_per_s: the `torchvision` trainer in a sweep of one trial, as its default is for
  pictures that fit (decoded once by Ray Data, augmented batch by batch where the net is), over a bare PyTorch loop
  whose DataLoader decodes and augments by torchvision's transforms, with the best number of loading processes.
- streamed_over_dataloader_samples_per_s: the same trainer with `decoding: each_epoch`, where Ray Data's tasks decode
  and augment all pictures in each epoch.
- engine_over_in_memory_samples_per_s: over a bare loop on pixels that were decoded before, the limit of them all.
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

ROOT = Path(__file__).resolve().parents[1]
# `python benchmarks/images.py` is as good as `python -m benchmarks.images`.
sys.path.insert(0, str(ROOT))

from benchmarks.image_contestants import (  # noqa: E402
    Contest,
    dataloader_samples_per_s,
    engine_samples_per_s,
    in_memory_samples_per_s,
)
from benchmarks.image_data import picture_part  # noqa: E402
from benchmarks.machine import describe_machine, describe_versions  # noqa: E402
from benchmarks.sweep import medians  # noqa: E402

__all__ = ["image_ratios", "main", "parse"]

_PACKAGES = ("mlops-ray", "ray", "torch", "torchvision", "pillow", "numpy", "pyarrow")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    parser.add_argument("--output", type=Path, help="write the result to this file too")
    parser.add_argument("--rows", type=int, default=4_096, help="pictures to learn from")
    parser.add_argument("--size", type=int, default=32, help="of a picture, in pixels")
    parser.add_argument("--architecture", default="small", help="small, or a model of torchvision")
    parser.add_argument("--width", type=int, default=16, help="of the architecture `small`")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--loaders", type=int, nargs="+", default=[0, 1, 2], help="DataLoader's processes to try")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result where asked."""
    options = parse(arguments)
    machine, started_s = describe_machine(), time.monotonic()
    contest = _contest(options)
    with tempfile.TemporaryDirectory(prefix="mlops-ray-bench-") as folder:
        # Ray's workers give way to every other process, which the bare loops here do not
        os.environ.setdefault("RAY_worker_niceness", "0")
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else Ray leaves a token in the home folder
        environment = {"env_vars": {"PYTHONPATH": str(ROOT)}}
        ray.init(num_cpus=options.cpus, include_dashboard=False, log_to_driver=False, runtime_env=environment)
        try:
            rounds = [_round(options, contest, Path(folder) / str(number)) for number in range(options.rounds)]
        finally:
            ray.shutdown()
    result = {
        "benchmark": "images",
        "machine": machine,
        "versions": describe_versions(*_PACKAGES),
        "settings": {name: value for name, value in vars(options).items() if name not in ("json", "output")},
        "rows": rounds,
        "ratios": medians([image_ratios(row) for row in rounds]),
        "wall_s": round(time.monotonic() - started_s, 1),
    }
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(rounds, indent=1))
    print(json.dumps(result if options.json else result["ratios"]))


def image_ratios(samples_per_s: dict[str, Any]) -> dict[str, float | None]:
    """What is promised, of what was measured in one round."""
    tuned = max(samples_per_s["dataloader"].values())
    return {
        "engine_over_dataloader_samples_per_s": samples_per_s["engine"] / tuned,
        "streamed_over_dataloader_samples_per_s": samples_per_s["streamed"] / tuned,
        "engine_over_in_memory_samples_per_s": samples_per_s["engine"] / samples_per_s["in_memory"],
    }


def _contest(options: argparse.Namespace) -> Contest:
    return Contest(
        picture_part(options.rows, size=options.size, seed=1),
        picture_part(max(64, options.rows // 8), size=options.size, seed=2),
        size=options.size,
        epochs=options.epochs,
        cpus=options.cpus,
        architecture=options.architecture,
        width=options.width,
        precision=options.precision,
    )


def _round(options: argparse.Namespace, contest: Contest, folder: Path) -> dict[str, Any]:
    engine = engine_samples_per_s(contest, folder / "engine", decoding="once")
    loaders = {str(count): round(dataloader_samples_per_s(contest, loaders=count), 1) for count in options.loaders}
    in_memory = in_memory_samples_per_s(contest)
    streamed = engine_samples_per_s(contest, folder / "streamed", decoding="each_epoch")
    return {
        "engine": round(engine, 1),
        "dataloader": loaders,
        "in_memory": round(in_memory, 1),
        "streamed": round(streamed, 1),
    }


if __name__ == "__main__":
    main()
