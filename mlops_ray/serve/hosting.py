"""Deploys, watches and steers the Serve applications of models; the only place that talks to Serve's controller."""

import logging
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import ray
from ray import serve
from ray.exceptions import RayActorError, RayError
from ray.serve.context import _get_global_client
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from mlops_ray.errors import ClusterError
from mlops_ray.serve.application import (
    FRONT,
    MakeAdmin,
    front_application,
    server_application,
    version_application,
)
from mlops_ray.serve.applied import Applied
from mlops_ray.serve.dead_replicas import DeadReplicas
from mlops_ray.serve.obituaries import Obituaries
from mlops_ray.serve.versions import app_name
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import RouteRecord

__all__ = ["AppStatus", "Hosting", "RayHosting", "start_serve"]

_log = logging.getLogger(__name__)
_INGRESS_S = 60.0
# A replica that loads a new champion answers later: it is asked again.
_PUSH_TIMEOUT_S = 5.0
_SERVER = "mlops_ray_server"


@dataclass(frozen=True)
class AppStatus:
    """Whether an application answers, why it never will, or why it does not at the moment."""

    ready: bool
    failed: str | None
    unhealthy: str | None = None


class Hosting(Protocol):
    """What the reconciler asks of the serving side. Every call may be repeated."""

    def statuses(self) -> Mapping[str, AppStatus]:
        """State by application name."""
        ...

    def open_front(self, spec: ModelSpec) -> None:
        """Deploy the front door of a model."""
        ...

    def open_version(self, spec: ModelSpec, version: int) -> None:
        """Deploy a version of its own."""
        ...

    def renew_front(self, spec: ModelSpec) -> None:
        """Replace the replicas of a front door by new ones, which come up first: they read spec and route anew."""
        ...

    def deaths(self, app: str) -> int:
        """How many replicas of a version's application died by themselves, or failed their health checks and were
        replaced, since it was opened or this process first asked; never less than before."""
        ...

    def close(self, app: str) -> None:
        """Take an application away."""
        ...

    def push(self, route: RouteRecord) -> list[Applied]:
        """Tell every champion replica the route; what each holds afterwards."""
        ...


class RayHosting:
    """Hosting on the Ray Serve of this cluster. Deploying does not wait: `statuses` tells when it is done."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._fronts: dict[str, DeploymentHandle] = {}
        self._obituaries = Obituaries(DeadReplicas())

    def statuses(self) -> Mapping[str, AppStatus]:
        """See `Hosting.statuses`.

        Raises:
            ClusterError: Serve does not answer; what runs is not known then, which is not the same as nothing.
        """
        # serve.status() describes everything there is, and serializes a class for each deployment: asked twice a
        # second, that took a sixth of a core.
        try:
            client = _get_global_client(raise_if_no_controller_running=False)
            applications = client.list_serve_statuses() if client is not None else []
        except RayServeException as error:
            raise ClusterError(f"Ray Serve does not answer: {str(error).splitlines()[0]}") from error
        statuses = {app.name: _status(app) for app in applications}
        self._obituaries.look({name for name, status in statuses.items() if status.unhealthy is not None})
        return statuses

    def ensure_server(self, admin: MakeAdmin | None = None) -> None:
        """Deploy the routes of the server as a whole, once; see `server_application`."""
        if _SERVER not in self.statuses():
            _deploy(server_application(self._workspace, admin), _SERVER, "/")

    def open_front(self, spec: ModelSpec) -> None:
        """See `Hosting.open_front`."""
        _deploy(front_application(spec.name, spec.serve, self._workspace), spec.name, f"/v2/models/{spec.name}")

    def open_version(self, spec: ModelSpec, version: int) -> None:
        """See `Hosting.open_version`."""
        app = app_name(spec.name, version)
        self._obituaries.begin(app)
        application = version_application(spec, version, self._workspace)
        _deploy(application, app, f"/v2/models/{spec.name}/versions/{version}")

    def renew_front(self, spec: ModelSpec) -> None:
        """See `Hosting.renew_front`: Serve takes every deployment for a new one, and replaces what it has."""
        self.open_front(spec)

    def deaths(self, app: str) -> int:
        """See `Hosting.deaths`."""
        return self._obituaries.deaths(app)

    def close(self, app: str) -> None:
        """See `Hosting.close`."""
        serve.delete(app, _blocking=False)

    def push(self, route: RouteRecord) -> list[Applied]:
        """See `Hosting.push`; a replica that cannot be reached is left out, it reads the store by itself."""
        try:
            if route.model not in self._fronts:
                self._fronts[route.model] = serve.get_deployment_handle(FRONT, route.model)
            answers: list[Any] = (
                self._fronts[route.model].broadcast("apply", asdict(route)).results(timeout_s=_PUSH_TIMEOUT_S)
            )
        except (RayError, RayServeException, TimeoutError) as error:
            _log.warning("route of %s not pushed: %s", route.model, str(error).splitlines()[0])
            return []
        return [Applied(**answer) for answer in answers]


def _deploy(application: serve.Application, name: str, route_prefix: str) -> None:
    target = serve.RunTarget(target=application, name=name, route_prefix=route_prefix)
    serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)


def _status(app: Any) -> AppStatus:
    status = app.app_status.status
    return AppStatus(
        ready=status == "RUNNING",
        failed=_why(app) if status == "DEPLOY_FAILED" else None,
        unhealthy=_why(app) if status == "UNHEALTHY" else None,
    )


def _why(app: Any) -> str:
    """What Serve says of the application, and the end of each traceback it has from its replicas."""
    tracebacks = [deployment.message.strip() for deployment in app.deployment_statuses]
    told = [app.app_status.message.strip(), *(t.splitlines()[-1].strip() for t in tracebacks if t)]
    return " ".join(sentence for sentence in told if sentence) or str(app.app_status.status)


def start_serve(host: str, port: int, *, grpc_port: int = 0) -> None:
    """Start Serve's controller and ingress on this cluster, once; with `grpc_port`, an ingress for gRPC beside it.

    Raises:
        ClusterError: the ingress does not come up.
    """
    assert ray.is_initialized(), "connect to the cluster first"
    grpc_options = {
        "port": grpc_port,
        "grpc_servicer_functions": ["mlops_ray.serve.grpc_messages:add_to_server"] if grpc_port else [],
        "enable_reflection": False,
    }
    http_options = {"host": host, "port": port}
    try:
        serve.start(proxy_location="EveryNode", http_options=http_options, grpc_options=grpc_options)
    except RayActorError as error:
        # On a machine that is busy the controller takes the ingress for dead before it has begun, and starts another,
        # which nobody waits for: Serve itself is there already.
        _log.warning("the ingress is started anew: %s", (str(error).splitlines() or ["it died"])[0])
        _await_ingress("127.0.0.1" if host == "0.0.0.0" else host, port)


def _await_ingress(host: str, port: int) -> None:
    deadline_s = time.monotonic() + _INGRESS_S
    while time.monotonic() < deadline_s:
        try:
            socket.create_connection((host, port), timeout=1.0).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise ClusterError(f"Serve's ingress died, and nobody listens at {host}:{port} after {_INGRESS_S:g} s")
