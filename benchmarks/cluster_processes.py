"""Process ids of the parts of a cluster, for whoever wants to kill one; the caller is connected to it."""

from urllib.parse import urlsplit

import psutil
import ray
from ray.util.state import list_actors

from mlops_ray.spec import CONTROL_ACTOR, Workspace

__all__ = ["canary_pids", "champion_pids", "control_pid", "haproxy_pid"]

_ANSWERS_S = 60.0


def champion_pids(workspace: Workspace, model: str) -> list[int]:
    """The replicas of the model's front door."""
    return _replica_pids(workspace, f"{model}:front")


def canary_pids(workspace: Workspace, model: str, version: int) -> list[int]:
    """The replicas of a version under delivery."""
    return _replica_pids(workspace, f"{model}-v{version}:version")


def control_pid(workspace: Workspace) -> int:
    """The control actor, once it answers."""
    actor = ray.get_actor(CONTROL_ACTOR, namespace=workspace.namespace)
    pid: int = ray.get(actor.ready.remote(), timeout=_ANSWERS_S)
    return pid


def haproxy_pid(workspace: Workspace) -> int | None:
    """The HAProxy that listens for the workspace's users; None: nobody listens."""
    port = urlsplit(workspace.serve).port
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:] == (port,):
            return connection.pid
    return None


def _replica_pids(workspace: Workspace, deployment: str) -> list[int]:
    wanted = [("state", "=", "ALIVE"), ("class_name", "=", f"ServeReplica:{deployment}")]
    return [actor.pid for actor in list_actors(workspace.dashboard, filters=wanted, detail=True)]
