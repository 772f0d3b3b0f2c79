"""This engine as in production, one replica, every record kept: `python -m benchmarks.engine_app FOLDER PORT`.

Its home is FOLDER/engine, so that whoever started it can work on its store.
"""

import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.delivered_model import DeliveredModel
from benchmarks.lifetime import wait_for_the_end
from mlops_ray.control.local_cluster import LocalCluster, Ports
from mlops_ray.spec import Workspace

__all__ = ["HOME", "MODEL", "main"]

MODEL = "bench"
HOME = "engine"
_RAY_CPUS = 8  # what Ray may hand out; replicas ask for half a CPU each, and take what there is


def main(folder: Path, port: int) -> None:
    """Serve until standard input closes."""
    cluster = LocalCluster(Workspace.at(folder / HOME))
    try:
        ports = replace(Ports.free(), serve=port)
        workspace = cluster.up(ports, cpus=_RAY_CPUS, mlflow_ui=False, progress=_say)
        DeliveredModel(workspace, MODEL, folder).first_champion()
        wait_for_the_end()
    finally:
        cluster.down()


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
