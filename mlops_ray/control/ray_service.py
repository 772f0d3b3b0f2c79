"""What KubeRay's RayService deploys: the server's own routes, with the actors that bring the champions back."""

import os
from collections.abc import Mapping
from functools import partial

from ray import serve

from mlops_ray.control.control_actor import ensure_control_actor
from mlops_ray.control.control_plane import ControlPlane
from mlops_ray.monitor import ensure_drift_actors
from mlops_ray.serve import server_application
from mlops_ray.spec import Workspace
from mlops_ray.store import Store

__all__ = ["server"]


def server(arguments: Mapping[str, str]) -> serve.Application:
    """Builder for a Serve config file; `home` in its arguments or MLOPS_RAY_HOME names the workspace."""
    home = arguments.get("home") or os.environ.get("MLOPS_RAY_HOME", ".mlops_ray")
    workspace = Workspace.load(home, os.environ)
    Store(workspace.store).create()
    ensure_drift_actors(workspace)
    ensure_control_actor(workspace)
    return server_application(workspace, partial(ControlPlane, workspace.model_dump_json()))
