"""The one module that dresses the plain serving classes as Ray Serve applications."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray
from ray import serve

import mlops_ray
from mlops_ray.records import LABELS
from mlops_ray.serve.canary_link import RemoteVersion
from mlops_ray.serve.front_door import FrontDoor
from mlops_ray.serve.model_app import Label
from mlops_ray.serve.outbox import Outbox
from mlops_ray.serve.recorder import Handover
from mlops_ray.serve.server_app import ServerApp
from mlops_ray.serve.version_door import VersionDoor
from mlops_ray.serve.versions import Versions, app_name
from mlops_ray.spec import DRIFT_ACTOR, Autoscaling, Serve, Workspace
from mlops_ray.store import RouteRecord, Store

__all__ = ["FRONT", "VERSION", "front_application", "server_application", "version_application"]

FRONT = "front"
VERSION = "version"
_POLL_S = 2.0
_log = logging.getLogger(__name__)


class _ActorMailbox:
    """The drift actor of the cluster, found by name again whenever it was replaced."""

    def __init__(self, model: str, namespace: str) -> None:
        self._model = model
        self._namespace = namespace

    async def receive(self, handover: Handover) -> None:
        """See `Mailbox.receive`."""
        actor = await self._actor()
        await actor.receive.remote(self._model, asdict(handover))

    async def keep_labels(self, name: str, labels: list[Label]) -> None:
        """See `Mailbox.keep_labels`."""
        table = pa.Table.from_pydict(
            {
                "request_id": [label.request_id for label in labels],
                "row": [label.row for label in labels],
                "label": [label.label for label in labels],
                "received_s": [0.0] * len(labels),
            },
            schema=LABELS,
        )
        actor = await self._actor()
        await actor.keep_labels.remote(self._model, name, table)

    async def _actor(self) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, lambda: ray.get_actor(DRIFT_ACTOR, namespace=self._namespace))


class _RemoteVersion:
    """A version application, asked through its Serve handle."""

    def __init__(self, model: str, version: int) -> None:
        self._handle = serve.get_deployment_handle(VERSION, app_name(model, version))

    async def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64] | str:
        """See `RemoteVersion.predict`."""
        answer: NDArray[np.float64] | str = await self._handle.predict.remote(matrix)
        return answer


class _FrontReplica:
    """A champion's replica."""

    def __init__(self, model: str, workspace_json: str) -> None:
        workspace = Workspace.model_validate_json(workspace_json)
        self._versions = Versions(model, workspace)
        spec = self._versions.spec()
        route = self._versions.store.route(model)
        if route is None or route.champion is None:
            raise RuntimeError(f"model {model!r} has no champion to open a front door with")
        self._outbox = _outbox(model, workspace, spec.monitor.flush_s)
        # The canary is linked by the first look at the store, when the event loop runs.
        self._door = FrontDoor(
            self._versions,
            spec.serve,
            connect=self._connect,
            outbox=self._outbox,
            route=route,
            keep_warm_s=spec.rollout.keep_warm_s,
            startup=self._start,
        )
        self._poller: asyncio.Task[None] | None = None

    def __serve_build_asgi_app__(self) -> FrontDoor:
        return self._door

    async def apply(self, route: Mapping[str, Any]) -> dict[str, Any]:
        """Take over a pushed route; what the replica holds afterwards."""
        return asdict(await self._door.apply(RouteRecord(**route)))

    def _connect(self, version: int) -> RemoteVersion:
        return _RemoteVersion(self._versions.model, version)

    async def _start(self) -> None:
        self._outbox.start()
        self._poller = asyncio.get_running_loop().create_task(self._poll())

    async def _poll(self) -> None:
        """A pushed route may have been missed, at start above all."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                route = await loop.run_in_executor(None, self._versions.store.route, self._versions.model)
                if route is not None:
                    await self._door.apply(route)
                self._door.cool(time.time())
            except Exception as error:  # noqa: BLE001 - a replica goes on answering whatever the store or a bundle does
                _log.warning("route of %s not read: %s", self._versions.model, error)
            await asyncio.sleep(_POLL_S)


class _VersionReplica:
    """A replica of a version under delivery."""

    def __init__(self, model: str, version: int, workspace_json: str) -> None:
        workspace = Workspace.model_validate_json(workspace_json)
        versions = Versions(model, workspace)
        spec = versions.spec()
        self._outbox = _outbox(model, workspace, spec.monitor.flush_s)
        loaded = versions.load(version)
        self._door = VersionDoor(model, spec.serve, model=loaded, outbox=self._outbox, startup=self._start)

    def __serve_build_asgi_app__(self) -> VersionDoor:
        return self._door

    async def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64] | str:
        """Scores for the front door."""
        return await self._door.predict(matrix)

    async def _start(self) -> None:
        self._outbox.start()


class _ServerReplica:
    """Answers for the server as a whole."""

    def __init__(self, workspace_json: str) -> None:
        store = Store(Workspace.model_validate_json(workspace_json).store)

        def readiness() -> dict[str, bool]:
            applications = serve.status().applications
            deployed = [m.name for m in store.models() if (r := store.route(m.name)) is not None and r.champion]
            return {name: name in applications and applications[name].status == "RUNNING" for name in deployed}

        self._app = ServerApp(mlops_ray.__version__, readiness)

    def __serve_build_asgi_app__(self) -> ServerApp:
        return self._app


def front_application(model: str, config: Serve, workspace: Workspace) -> serve.Application:
    """The application that holds the champion and takes every request of the model."""
    deployment = serve.deployment(serve.ingress()(_FrontReplica)).options(
        name=FRONT, **_options(config, config.autoscaling)
    )
    return deployment.bind(model, workspace.model_dump_json())


def version_application(model: str, version: int, config: Serve, workspace: Workspace) -> serve.Application:
    """The application of one version under delivery."""
    deployment = serve.deployment(serve.ingress()(_VersionReplica)).options(
        name=VERSION, **_options(config, config.canary_autoscaling)
    )
    return deployment.bind(model, version, workspace.model_dump_json())


def server_application(workspace: Workspace) -> serve.Application:
    """The application of the server's own routes."""
    deployment = serve.deployment(serve.ingress()(_ServerReplica)).options(
        name="server", num_replicas=1, ray_actor_options={"num_cpus": 0}
    )
    return deployment.bind(workspace.model_dump_json())


def _options(config: Serve, autoscaling: Autoscaling) -> dict[str, Any]:
    scaling: dict[str, Any]
    if autoscaling.min_replicas == autoscaling.max_replicas:
        scaling = {"num_replicas": autoscaling.min_replicas}
    else:
        scaling = {"autoscaling_config": autoscaling.model_dump()}
    return {
        **scaling,
        "ray_actor_options": {"num_cpus": config.resources.cpus, "num_gpus": config.resources.gpus},
        "max_ongoing_requests": config.max_ongoing_requests,
        "max_queued_requests": config.max_ongoing_requests,
        # a draining replica finishes what it has begun: longer than any request may take
        "graceful_shutdown_timeout_s": config.deadline_ms / 1000 + 5,
        "health_check_period_s": 5,
        # Every request is in the record log; a line of text for each would cost a tenth of the time to answer it.
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
    }


def _outbox(model: str, workspace: Workspace, flush_s: float) -> Outbox:
    replica = serve.get_replica_context().replica_id.unique_id
    return Outbox(_ActorMailbox(model, workspace.namespace), replica=replica, flush_s=flush_s)
