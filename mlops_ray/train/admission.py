"""How many trials may run at the same time, so that each gets all its workers. Pure.

A trial of several workers holds nothing itself while its workers wait for room: with too many of them each could hold
a part of what it needs and wait for the rest for ever.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlops_ray.errors import TrainError
from mlops_ray.spec import Train

__all__ = ["NodeGroup", "concurrent_trials"]

# Ray counts resources in such steps
_STEP = 1e-4


@dataclass(frozen=True)
class NodeGroup:
    """Nodes alike that the cluster has, or may start."""

    count: int
    cpus: float
    gpus: float


def concurrent_trials(train: Train, nodes: Sequence[NodeGroup]) -> int:
    """Trials at the same time: at most `max_concurrent`, and only as many as all have room for their workers.

    Raises:
        TrainError: one trial alone has no room, on an empty cluster and with all nodes it may start.
    """
    _check_gpus(train.resources.gpus)
    places = sum(group.count * _places(train, group) for group in nodes)
    if places < train.workers:
        raise TrainError(_no_room(train, nodes, places))
    return min(train.max_concurrent, places // train.workers)


def _places(train: Train, group: NodeGroup) -> int:
    """Workers that one node of the group holds, `max_concurrent` trials' at most."""
    cpus, gpus = train.resources.cpus, train.resources.gpus
    most = train.max_concurrent * train.workers
    by_cpu = _fits(group.cpus, cpus) if cpus else most
    # a fraction of a GPU lies on one GPU, so that of two GPUs four workers of 0.4 have room, not five
    by_gpu = most if not gpus else int(group.gpus) * _fits(1, gpus) if gpus < 1 else _fits(group.gpus, gpus)
    return min(by_cpu, by_gpu, most)


def _fits(whole: float, part: float) -> int:
    return math.floor(whole / part + _STEP)


def _check_gpus(gpus: float) -> None:
    if gpus > 1 and gpus != int(gpus):
        raise TrainError(f"train.resources.gpus: expected a fraction below 1 or a whole number, found {gpus:g}")


def _no_room(train: Train, nodes: Sequence[NodeGroup], places: int) -> str:
    resources = f"{train.resources.cpus:g} CPUs and {train.resources.gpus:g} GPUs"
    there = ", ".join(f"{group.count} of {group.cpus:g} CPUs and {group.gpus:g} GPUs" for group in nodes)
    return (
        f"train: a trial needs {train.workers} workers of {resources} each (train.workers, train.resources), and the "
        f"cluster has room for {places}; its nodes, with those it may start: {there or 'none'}"
    )
