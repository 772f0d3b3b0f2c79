"""The one module that dresses the plain serving classes as Ray Serve applications."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any

import pyarrow as pa
import ray
from ray import serve

import mlops_ray
from mlops_ray.records import LABELS
from mlops_ray.serve.access import Access
from mlops_ray.serve.actor_traffic import traffic_reporter
from mlops_ray.serve.captured import Captured
from mlops_ray.serve.deployment_options import deployment_options
from mlops_ray.serve.front_door import FrontDoor
from mlops_ray.serve.grpc_service import GrpcMethods, ModelService, ServerService
from mlops_ray.serve.handover import Handover
from mlops_ray.serve.health import check_predicting
from mlops_ray.serve.hop_channel import HopChannel
from mlops_ray.serve.hop_entrance import hop_path, new_hop_token
from mlops_ray.serve.http_pool import HttpPool
from mlops_ray.serve.memory_guard import start_memory_guard
from mlops_ray.serve.messages import Question, Reply
from mlops_ray.serve.model_app import Label
from mlops_ray.serve.outbox import Outbox
from mlops_ray.serve.packed_version import PackedVersion
from mlops_ray.serve.remote_version import RemoteVersion
from mlops_ray.serve.replica_environment import replica_environment
from mlops_ray.serve.server_app import App, ServerApp
from mlops_ray.serve.sleeping_version import SleepingVersion
from mlops_ray.serve.traffic_log import TrafficLog
from mlops_ray.serve.version_door import VersionDoor
from mlops_ray.serve.version_handle import VERSION, VersionHandle
from mlops_ray.serve.versions import Versions
from mlops_ray.spec import Autoscaling, ModelSpec, Serve, Workspace
from mlops_ray.store import RouteRecord, Store

__all__ = [
    "FRONT",
    "VERSION",
    "MakeAdmin",
    "front_application",
    "server_application",
    "version_application",
    "version_scaling",
]

FRONT = "front"
_POLL_S = 2.0
_SWITCH_S = 0.0005
_SHADOW_NICE = 15
_log = logging.getLogger(__name__)
MakeAdmin = Callable[[Store, Access], App]


class _ActorMailbox:
    """The drift actor that watches the model, found by name again whenever it was replaced."""

    def __init__(self, model: str, workspace: Workspace) -> None:
        self._model = model
        self._name, self._namespace = workspace.drift_actor_of(model), workspace.namespace

    async def receive(self, handover: Handover) -> None:
        """See `Mailbox.receive`."""
        actor = await self._actor()
        # not asdict, which copies the table
        await actor.receive.remote(self._model, {f.name: getattr(handover, f.name) for f in fields(handover)})

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
        return await loop.run_in_executor(None, lambda: ray.get_actor(self._name, namespace=self._namespace))


class _FrontReplica(GrpcMethods):
    """A champion's replica."""

    def __init__(self, model: str, workspace_json: str) -> None:
        workspace = Workspace.model_validate_json(workspace_json)
        self._versions = Versions(model, workspace)
        spec = self._versions.spec()
        self._serve = spec.serve
        start_memory_guard(spec.serve.memory_mb, who=f"champion replica of {model}")
        route = self._versions.store.route(model)
        if route is None or route.champion is None:
            raise RuntimeError(f"model {model!r} has no champion to open a front door with")
        traffic = TrafficLog(spec.serve.latency_objective_ms)
        self._outbox = _outbox(spec, workspace, traffic)
        # The canary is linked by the first look at the store, when the event loop runs.
        self._door = FrontDoor(
            self._versions,
            spec.serve,
            connect=self._connect,
            outbox=self._outbox,
            route=route,
            keep_warm_s=spec.rollout.keep_warm_s,
            swaps=spec.rollout.promotion == "swap",
            front_digest=spec.front_digest,
            startup=self._start,
            access=Access.of(workspace, self._versions.store),
        )
        self._outbox.companion = traffic_reporter(spec, workspace, self._door, self._outbox, traffic)
        self.inference = ModelService(self._door, mlops_ray.__version__)
        ingress = workspace.own_ingress
        self._pool = HttpPool(*ingress) if ingress is not None else None
        self._poller: asyncio.Task[None] | None = None

    def __serve_build_asgi_app__(self) -> FrontDoor:
        return self._door

    def check_health(self) -> None:
        """Asked by Serve now and then; see `check_predicting`."""
        check_predicting(self._versions.busy_s(), self._serve)

    async def apply(self, route: Mapping[str, Any]) -> dict[str, Any]:
        """Take over a pushed route; what the replica holds afterwards."""
        return asdict(await self._door.apply(RouteRecord(**route)))

    def _connect(self, version: int) -> RemoteVersion:
        model = self._versions.model
        handle = VersionHandle(model, version)
        channel = HopChannel(handle, self._pool, hop_path(model, version)) if self._pool is not None else handle.ask
        remote = PackedVersion(channel)
        scaling = version_scaling(self._versions.spec())
        if scaling.min_replicas > 0:
            return remote
        return SleepingVersion(remote, handle, quiet_s=scaling.downscale_delay_s / 2)

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


class _VersionReplica(GrpcMethods):
    """A replica of a version under delivery."""

    def __init__(self, model: str, version: int, workspace_json: str, hop_token: str) -> None:
        workspace = Workspace.model_validate_json(workspace_json)
        self._versions = Versions(model, workspace)
        spec = self._versions.spec()
        self._serve = spec.serve
        start_memory_guard(spec.serve.memory_mb, who=f"replica of {model} version {version}")
        if spec.rollout.strategy == "shadow":
            os.nice(_SHADOW_NICE)  # nobody waits for its answers, and users do for those of its neighbours
        traffic = TrafficLog(spec.serve.latency_objective_ms)
        self._outbox = _outbox(spec, workspace, traffic)
        loaded = self._versions.load(version)
        access = Access.of(workspace, self._versions.store)
        # Serve's own ingress costs more than a handle.
        self._hop_token = hop_token if os.environ.get("RAY_SERVE_ENABLE_HA_PROXY") == "1" else None
        self._door = VersionDoor(
            model,
            spec.serve,
            model=loaded,
            outbox=self._outbox,
            startup=self._start,
            access=access,
            hop_token=self._hop_token,
        )
        self._outbox.companion = traffic_reporter(spec, workspace, self._door, self._outbox, traffic)
        self.inference = ModelService(self._door, mlops_ray.__version__)

    def __serve_build_asgi_app__(self) -> VersionDoor:
        return self._door

    def check_health(self) -> None:
        """Asked by Serve now and then; see `check_predicting`."""
        check_predicting(self._versions.busy_s(), self._serve)

    async def predict_many(self, question: Question) -> Reply:
        """Scores for the front door."""
        return await self._door.reply(question)

    def hop_token(self) -> str | None:
        """What the front door has to show over HTTP; None where it should not come that way."""
        return self._hop_token

    async def _start(self) -> None:
        self._outbox.start()


class _ServerReplica(GrpcMethods):
    """Answers for the server as a whole."""

    def __init__(self, workspace_json: str, admin: MakeAdmin | None) -> None:
        workspace = Workspace.model_validate_json(workspace_json)
        store = Store(workspace.store)

        def readiness() -> dict[str, bool]:
            applications = serve.status().applications
            deployed = [m.name for m in store.models() if (r := store.route(m.name)) is not None and r.champion]
            return {name: name in applications and applications[name].status == "RUNNING" for name in deployed}

        access = Access.of(workspace, store)
        app = None if admin is None else admin(store, access)
        self._app = ServerApp(mlops_ray.__version__, readiness, access, admin=app)
        self.inference = ServerService(self._app)

    def __serve_build_asgi_app__(self) -> ServerApp:
        return self._app


def front_application(model: str, config: Serve, workspace: Workspace) -> serve.Application:
    """The application that holds the champion and takes every request of the model."""
    deployment = serve.deployment(serve.ingress()(_FrontReplica)).options(
        name=FRONT, **_options(config, config.autoscaling)
    )
    return deployment.bind(model, workspace.model_dump_json())


def version_application(spec: ModelSpec, version: int, workspace: Workspace) -> serve.Application:
    """The application of one version under delivery."""
    deployment = serve.deployment(serve.ingress()(_VersionReplica)).options(
        name=VERSION, **_options(spec.serve, version_scaling(spec))
    )
    return deployment.bind(spec.name, version, workspace.model_dump_json(), new_hop_token())


def version_scaling(spec: ModelSpec) -> Autoscaling:
    """Replicas of a version under delivery; with blue-green it has to bear all of the traffic at once."""
    return spec.serve.autoscaling if spec.rollout.strategy == "blue-green" else spec.serve.canary_autoscaling


def server_application(workspace: Workspace, admin: MakeAdmin | None = None) -> serve.Application:
    """The application of the server's own routes; `admin` makes what answers under `ADMIN`."""
    deployment = serve.deployment(serve.ingress()(_ServerReplica)).options(
        name="server", num_replicas=1, ray_actor_options={"num_cpus": 0}
    )
    return deployment.bind(workspace.model_dump_json(), admin)


def _options(config: Serve, scaling: Autoscaling) -> dict[str, Any]:
    options = deployment_options(config, scaling)
    options["ray_actor_options"]["runtime_env"] = replica_environment(ray.get_runtime_context().runtime_env)
    return options


def _outbox(spec: ModelSpec, workspace: Workspace, traffic: TrafficLog) -> Outbox:
    # Hand-overs are made on another thread, and requests would wait for it by Python's own 5 ms at a time.
    sys.setswitchinterval(_SWITCH_S)
    return Outbox(
        _ActorMailbox(spec.name, workspace),
        replica=serve.get_replica_context().replica_id.unique_id,
        flush_s=spec.monitor.flush_s,
        captured=Captured(spec.serve.capture, spec.name),
        traffic=traffic,
    )
