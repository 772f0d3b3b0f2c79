"""On what, and with which versions, something was measured."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

__all__ = ["describe_machine", "describe_versions"]


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, system, and how busy it is now."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "load_average_1min": round(os.getloadavg()[0], 2),
    }


def describe_versions(*packages: str) -> dict[str, str]:
    """Versions of the packages as they are installed, and Python's."""
    return {package: version(package) for package in packages} | {"python": platform.python_version()}
