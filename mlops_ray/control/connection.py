"""This process's connection to the cluster, and the services every cluster of ours runs."""

import logging
import os
import socket
from functools import partial

import ray

from mlops_ray.control.control_actor import ensure_control_actor
from mlops_ray.control.control_plane import ControlPlane
from mlops_ray.errors import ClusterError
from mlops_ray.monitor import ensure_drift_actors
from mlops_ray.serve import RayHosting, start_serve
from mlops_ray.spec import CONTROL_ACTOR, Workspace, without_password
from mlops_ray.store import Store

__all__ = ["connect", "disconnect", "ensure_services"]

_SERVICE_TIMEOUT_S = 120.0
_ANSWER_TIMEOUT_S = 5.0


def connect(workspace: Workspace) -> None:
    """Connect this process to the workspace's Ray cluster; inside a Ray job, to the job's own.

    Raises:
        ClusterError: no cluster answers there.
    """
    if ray.is_initialized():
        return
    address = "auto" if "RAY_ADDRESS" in os.environ else workspace.ray_address
    if address.startswith("127."):
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    try:
        _knock(address)
        ray.init(address=address, namespace=workspace.namespace, log_to_driver=False, logging_level=logging.WARNING)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ClusterError(
            f"no Ray cluster answers at {address} ({reason}); start one with `mlops-ray up`, or name one with "
            "MLOPS_RAY_RAY_ADDRESS"
        ) from error


def _knock(address: str) -> None:
    """OSError when nobody listens at `host:port`: Ray itself would ask for minutes before it says so."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_ANSWER_TIMEOUT_S).close()


def disconnect() -> None:
    """Leave the cluster; it goes on."""
    if ray.is_initialized():
        ray.shutdown()


def ensure_services(workspace: Workspace) -> None:
    """Serve, the server's routes, the drift actor and the control actor: started where they are not running.

    Raises:
        ClusterError: an actor does not start.
    """
    Store(workspace.store).create()
    host, port = workspace.serve_address
    start_serve(host, port, grpc_port=workspace.grpc_port)
    RayHosting(workspace).ensure_server(partial(ControlPlane, workspace.model_dump_json()))
    actors = {**ensure_drift_actors(workspace), CONTROL_ACTOR: ensure_control_actor(workspace)}
    for name, actor in actors.items():
        try:
            held = Workspace.model_validate_json(ray.get(actor.workspace.remote(), timeout=_SERVICE_TIMEOUT_S))
        except ray.exceptions.RayError as error:
            raise ClusterError(f"actor {name} does not start: {str(error).splitlines()[-1]}") from error
        _refuse_another(name, held, workspace)


def _refuse_another(actor: str, held: Workspace, wanted: Workspace) -> None:
    """An actor that looks at another store would never see what is asked for here."""
    for field in ("store", "lake", "catalog", "drift_shards"):
        theirs, ours = str(getattr(held, field)), str(getattr(wanted, field))
        if theirs != ours:
            raise ClusterError(
                f"the {actor} actor of this cluster works for another workspace: its {field} is "
                f"{without_password(theirs)}, here it is {without_password(ours)}; set MLOPS_RAY_HOME (an absolute "
                "folder) or the MLOPS_RAY_ variables alike on every node and for every command"
            )
