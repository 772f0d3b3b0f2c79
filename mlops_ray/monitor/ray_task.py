"""Runs what reads many files as a Ray task, so that the process that judges stays free."""

from collections.abc import Callable
from typing import Any

import ray

__all__ = ["as_ray_task"]

_FEW = 20  # files: a task costs more than reading them here


def as_ray_task(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function of `AnsweredRows`, whose last collection names files: here where they are few, else as a task.

    Raises:
        ray.exceptions.RayError: the task failed; the next look does it again.
    """
    files = max((len(a) for a in arguments if isinstance(a, list | dict)), default=0)
    if files <= _FEW:
        return function(*arguments)
    # beside whatever else the cluster does: labels must not wait for a training to end
    return ray.get(ray.remote(function).options(num_cpus=0, max_retries=3).remote(*arguments))
