"""How a model version was made: enough to make it again, and what it took."""

import hashlib
import importlib.util
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import ray

from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.train.sweep_log import TrialLog

__all__ = ["costs", "environment", "run_section", "sources", "spec_of_record"]

_NVIDIA_TIMEOUT_S = 10.0
# what of this package makes a model out of rows
_PARTS = ("train", "model", "evaluation")


def environment() -> dict[str, Any]:
    """Versions and host of this process, and the size of its Ray cluster; JSON-ready."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": platform.machine(),
        "host_cpus": os.cpu_count(),
        "host_memory_bytes": psutil.virtual_memory().total,
        **{name: _version(name) for name in ("ray", "torch", "lightgbm", "mlflow", "numpy")},
        **_gpu_facts(),
        "nodes": len(nodes),
        "cluster_cpus": sum(node["Resources"].get("CPU", 0.0) for node in nodes),
        "cluster_gpus": sum(node["Resources"].get("GPU", 0.0) for node in nodes),
    }


def sources(trainer: str) -> dict[str, str | None]:
    """sha256 of the code that trains, whether or not git knows it: this package's part, and the user's own module."""
    root = Path(__file__).parents[1]
    ours = [root / "pixels.py", *(file for part in _PARTS for file in sorted((root / part).glob("*.py")))]
    own = importlib.util.find_spec(trainer.partition(":")[0]) if ":" in trainer else None
    theirs = [Path(own.origin)] if own is not None and own.origin else []
    return {"mlops_ray": _digest(ours), "trainer": _digest(theirs) if theirs else None}


def costs(spec: ModelSpec, workspace: Workspace, trials: Sequence[TrialLog], *, wall_s: float) -> dict[str, float]:
    """Seconds and money: of the whole training, and of the devices its trials had; 0 where no price is given."""
    seconds = sum(trial.seconds for trial in trials) * spec.train.workers
    cpu_s, gpu_s = seconds * spec.train.resources.cpus, seconds * spec.train.resources.gpus
    cost = (cpu_s * workspace.price_cpu_hour + gpu_s * workspace.price_gpu_hour) / 3600
    return {"wall_s": wall_s, "cpu_s": cpu_s, "gpu_s": gpu_s, "cost": cost}


def spec_of_record(training: Mapping[str, Any]) -> ModelSpec:
    """The spec a version was trained by, as far as it shapes the training."""
    return ModelSpec.model_validate_json(training["spec"])


def run_section(training: Mapping[str, Any]) -> str:
    """What this one run took, as Markdown to go below a model card.

    Not in the card itself: a bundle's digest says whether two models are one, however long they took.
    """
    took, found = training["costs"], training["environment"]
    cost = f", cost {took['cost']:.4g}" if took["cost"] else ""
    gpu = f", {took['gpu_s']:.1f} GPU seconds" if took["gpu_s"] else ""
    driver = f", CUDA {found['cuda']}, driver {found['driver']}" if found["driver"] else ""
    return (
        f"\n## This run\n\nSweep `{training['sweep']}`, trial `{training['trial']}`. "
        f"{took['wall_s']:.1f} s, {took['cpu_s']:.1f} CPU seconds{gpu}{cost}. "
        f"{found['platform']}, {found['host_cpus']} CPUs, {found['host_memory_bytes'] / 2**30:.0f} GiB; "
        f"{found['nodes']} nodes. Ray {found['ray']}, torch {found['torch']}{driver}.\n"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gpu_facts() -> dict[str, Any]:
    """GPUs and driver of this host, as nvidia-smi says; the CUDA version that torch was built for."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=_NVIDIA_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return {"gpus": [], "driver": None, "cuda": None}
    lines = [line.split(", ") for line in done.stdout.strip().splitlines()]
    # torch: seconds to import, so only where there is a GPU
    import torch

    return {"gpus": [name for name, _ in lines], "driver": lines[0][1] if lines else None, "cuda": torch.version.cuda}


def _digest(files: Sequence[Path]) -> str:
    content = hashlib.sha256()
    for file in files:
        content.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return content.hexdigest()
