"""What a replica on Ray Serve counted goes to the drift actor."""

import asyncio

import ray
from ray import serve

from mlops_ray.serve.front_door import FrontDoor
from mlops_ray.serve.outbox import Outbox
from mlops_ray.serve.tracing import tracing_of
from mlops_ray.serve.traffic_log import TrafficLog
from mlops_ray.serve.traffic_reporter import TrafficReporter
from mlops_ray.serve.version_door import VersionDoor
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.telemetry import TrafficReport

__all__ = ["traffic_reporter"]


def traffic_reporter(
    spec: ModelSpec, workspace: Workspace, door: FrontDoor | VersionDoor, outbox: Outbox, traffic: TrafficLog
) -> TrafficReporter:
    """The reporter of this replica, which finds the drift actor by name again whenever it was replaced."""

    name = workspace.drift_actor_of(spec.name)

    async def tell(report: TrafficReport) -> None:
        loop = asyncio.get_running_loop()
        actor = await loop.run_in_executor(None, lambda: ray.get_actor(name, namespace=workspace.namespace))
        await actor.count.remote(spec.name, report.to_json())

    return TrafficReporter(
        serve.get_replica_context().replica_id.unique_id,
        door,
        outbox.recorder,
        traffic,
        tell=tell,
        role="champion" if isinstance(door, FrontDoor) else "version",
        every_s=spec.monitor.flush_s,
        tracing=tracing_of(spec.name, spec.serve.tracing.sample),
    )
