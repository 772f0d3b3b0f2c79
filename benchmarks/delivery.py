"""Parts of benchmarks/serving.py on one real cluster: records, a canary, shadows, Arrow, and how fast changes arrive.

Every model is delivered by the product's own operations on the store of a running cluster; the control actor carries
them out.
"""

import base64
import io
import json
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.delivered_model import DeliveredModel, until
from benchmarks.engine_app import HOME, MODEL
from benchmarks.sampling import Load, Row, Sample, Timing, take_sample
from benchmarks.server_process import ServerProcess
from benchmarks.steady_client import Request, SteadyClient
from benchmarks.throughput import ENGINE
from benchmarks.workload import NAMES, Workload
from mlops_ray.rollout import Phase
from mlops_ray.spec import Workspace

__all__ = ["DELIVERY_PARTS", "Cluster", "measure_delivery", "seen_after_s"]

DELIVERY_PARTS = ("capture", "canary", "shadow", "arrow", "changes")
_FOR_EVER = {"min_s": 3600, "max_s": 7200}
_SHADOW_RATE = 300.0  # requests/s, a moderate load; each shadow manages 20 calls a second
_CHANGES_RATE = 300.0
_BULK_ROWS = 5_000
_BULK_CONNECTIONS = 2
_ARROW = "application/vnd.apache.arrow.stream"
_SETTLES_S = 5.0  # HAProxy is reloaded when applications come and go, and closes connections then
_DRAINS_S = 30.0  # 512 copies are queued at most, and a shadow manages 20 a second
_RESOURCES = {"resources": {"cpus": 0.1}}


@dataclass(frozen=True)
class Cluster:
    """A cluster with this engine, and one model on it that is as plain as can be."""

    workspace: Workspace
    workload: Workload
    server: ServerProcess

    @classmethod
    @contextmanager
    def running(cls, workload: Workload) -> Iterator["Cluster"]:
        """One that ends with the block."""
        server = ServerProcess(ENGINE, workload.folder)
        try:
            server.wait_until_right(workload)
            yield cls(Workspace.load(workload.folder / HOME, {}), workload, server)
        except Exception as error:
            server.stop()
            kept = tempfile.mkdtemp(prefix="mlops-ray-bench-failed-")
            shutil.copytree(workload.folder / HOME, kept, dirs_exist_ok=True, ignore_dangling_symlinks=True)
            error.add_note(f"the cluster's store and logs are kept in {kept}")
            raise
        finally:
            server.stop()

    @property
    def plain(self) -> DeliveredModel:
        """The model that is there already."""
        return self.model(MODEL)

    def model(self, name: str, **changes: Mapping[str, Any]) -> DeliveredModel:
        """Another model by its name, not delivered yet."""
        serve = {"serve": {**_RESOURCES, **changes.pop("serve", {})}} if name != MODEL else {}
        return DeliveredModel(self.workspace, name, self.workload.folder, changes={**changes, **serve})

    def load(self, model: DeliveredModel, seconds: float, **changes: Any) -> Load:
        """What a client sends to a model."""
        return Load(f"{model.url}/predict", self.workload.bodies("records"), seconds, **changes)


def measure_delivery(
    parts: Sequence[str], workload: Workload, *, rounds: int, seconds: float
) -> Iterator[tuple[list[Row], list[Timing]]]:
    """The parts that are asked for, one after another."""
    measured: dict[str, Callable[[Cluster, int, float], list[Row]]] = {
        "capture": _capture,
        "canary": _canary,
        "shadow": _shadow,
        "arrow": _arrow,
    }
    with Cluster.running(workload) as cluster:
        for part in parts:
            if part in measured:
                yield measured[part](cluster, rounds, seconds), []
        if "changes" in parts:
            yield [], _changes(cluster, times=rounds)


def _capture(cluster: Cluster, rounds: int, seconds: float) -> list[Row]:
    """With every request recorded, and with none."""
    off = cluster.model("unrecorded", serve={"capture": {"enabled": False}})
    off.first_champion()
    loads = {"capture on": cluster.load(cluster.plain, seconds), "capture off": cluster.load(off, seconds)}
    rows = _in_turns(cluster, "capture", loads, rounds)
    off.retire()
    return rows


def _canary(cluster: Cluster, rounds: int, seconds: float) -> list[Row]:
    """10 % of the units on a sound canary, and all on the champion."""
    model = cluster.model("canaried", rollout={"steps": [{"share": 0.1, **_FOR_EVER}]})
    model.first_champion()
    model.await_phase(model.deploy(model.add_version(trees=99)), Phase.CANARY)
    _await_role(cluster, model, "canary")
    loads = {"canary 10 %": cluster.load(model, seconds), "no canary": cluster.load(cluster.plain, seconds)}
    rows = _in_turns(cluster, "canary", loads, rounds)
    still = model.store.rollouts(model.name, active_only=True)
    if [rollout.phase for rollout in still] != [Phase.CANARY]:
        raise RuntimeError(
            f"the canary did not last: {model.store.rollouts(model.name)[-1].state['rollout']['reason']}"
        )
    model.retire()
    return rows


def _shadow(cluster: Cluster, rounds: int, seconds: float) -> list[Row]:
    """Each request copied to a version that is hopelessly slow: waiting for something, or computing all the while."""
    shadowed: list[tuple[str, DeliveredModel]] = []
    for name, kind in (("waiting shadow", "Waits"), ("computing shadow", "Computes")):
        model = cluster.model(
            name.replace(" ", "_"), rollout={"strategy": "shadow", "shadow": {"mirror": 1.0, **_FOR_EVER}}
        )
        model.first_champion()
        model.await_phase(model.deploy(model.add_version(kind=f"benchmarks.predictors:{kind}")), Phase.CANARY)
        shadowed.append((name, model))
    loads = {"no shadow": cluster.load(cluster.plain, seconds, rate=_SHADOW_RATE, connections=64)} | {
        name: cluster.load(model, seconds, rate=_SHADOW_RATE, connections=64) for name, model in shadowed
    }
    # What was copied in the last turn would be computed in the next one.
    rows = _in_turns(cluster, "shadow", loads, rounds, rest_s=_DRAINS_S)
    for _, model in shadowed:
        model.retire()
    return rows


def _arrow(cluster: Cluster, rounds: int, seconds: float) -> list[Row]:
    """Rows in bulk as Arrow, and one by one as JSON."""
    matrix = np.random.default_rng(8).normal(size=(_BULK_ROWS, len(NAMES)))
    file = cluster.workload.folder / "bodies-arrow.json"
    stream = _stream(matrix)
    file.write_text(json.dumps([base64.b64encode(stream).decode()]))
    _check_arrow(f"{cluster.plain.url}/arrow", stream, cluster.plain.scores(matrix, trees=100))
    bulk = Load(
        f"{cluster.plain.url}/arrow",
        file,
        seconds,
        connections=_BULK_CONNECTIONS,
        content_type=_ARROW,
        base64=True,
        rows=_BULK_ROWS,
    )
    loads = {"arrow rows": bulk, "json rows": cluster.load(cluster.plain, seconds)}
    return _in_turns(cluster, "arrow", loads, rounds)


def _changes(cluster: Cluster, *, times: int) -> list[Timing]:
    """Under load on two replicas: from a changed share or a rollback to the last answer that does not know of it."""
    two = {"min_replicas": 2, "max_replicas": 2}
    steps = [{"share": share, "min_s": 2, "max_s": 120, "min_requests": 40} for share in (0.1, 0.3, 0.6)]
    model = cluster.model(
        "changed", serve={"autoscaling": two}, rollout={"steps": steps, "analysis": {"max_bad_share": 0.1}}
    )
    model.first_champion()
    time.sleep(_SETTLES_S)
    rows = [dict(zip(NAMES, row, strict=True)) for row in cluster.workload.rows.tolist()]
    rollbacks: list[tuple[float, int]] = []
    with SteadyClient(f"{model.url}/predict", rows, rate_per_s=_CHANGES_RATE) as client:
        shares: dict[int, float] = {}
        for turn in range(times):
            version = model.add_version(trees=90 + turn)
            rollout = model.deploy(version)
            while not Phase(model.store.rollout(rollout.id).phase).ended:
                route = model.store.route(model.name)
                if route is not None and route.canary is not None:
                    shares.setdefault(route.epoch, route.updated_s)
                time.sleep(0.02)
            model.await_phase(rollout, Phase.COMPLETED)
            time.sleep(2)
            rollbacks.append((time.time(), version))
            model.roll_back()
            time.sleep(4)
    failed = [request.error for request in client.log if request.score is None]
    if failed:
        raise RuntimeError(f"changes: {len(failed)} requests failed, such as: {failed[0]}")
    seen = tuple(seen_after_s(client.log, since_s, epoch) for epoch, since_s in shares.items())
    undone = tuple(_gone_after_s(client.log, since_s, version) for since_s, version in rollbacks)
    return [Timing("changes", "share change", seen), Timing("changes", "rollback", undone)]


def seen_after_s(requests: Iterable[Request], changed_s: float, epoch: int) -> float:
    """Seconds from the change to the end of the last request that was answered by an older epoch."""
    return round(max((r.ended_s - changed_s for r in requests if 0 <= r.epoch < epoch), default=0.0), 3)


def _gone_after_s(requests: Iterable[Request], undone_s: float, version: int) -> float:
    """Seconds from the rollback to the end of the last request that the withdrawn version answered."""
    return round(max(0.0, *(r.ended_s - undone_s for r in requests if r.version == version)), 3)


def _in_turns(
    cluster: Cluster, part: str, loads: Mapping[str, Load], rounds: int, *, rest_s: float = _SETTLES_S
) -> list[Row]:
    """Each load in turn, after a rest of so long before each round."""
    samples: dict[str, list[Sample]] = {name: [] for name in loads}
    for _ in range(rounds):
        time.sleep(rest_s)
        for name, load in loads.items():
            samples[name].append(take_sample(name, load, cpu_s=cluster.server.cpu_s))
    return [Row.of(part, name, loads[name], samples[name]) for name in loads]


def _await_role(cluster: Cluster, model: DeliveredModel, role: str) -> None:
    """The route has arrived at the replica when some answer has this role."""
    body = cluster.workload.body("records", 0).encode()

    def look() -> bool:
        answer: dict[str, Any] = json.loads(_post(f"{model.url}/predict", body, "application/json"))
        return bool(answer["role"] == role)

    until(look, f"an answer of the {role} of {model.name}", timeout_s=60)


def _stream(matrix: NDArray[np.float64]) -> bytes:
    """Rows (n, 30) as an Arrow IPC stream of one batch."""
    batch = pa.RecordBatch.from_arrays([pa.array(column) for column in matrix.T], names=NAMES)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _check_arrow(url: str, stream: bytes, expected: NDArray[np.float64]) -> None:
    """What is measured has to be right.

    Raises:
        RuntimeError: it is not.
    """
    table = pa.ipc.open_stream(_post(url, stream, _ARROW)).read_all()
    found = table["score"].to_numpy()
    if len(found) != len(expected) or np.abs(found - expected).max() > 1e-9:
        raise RuntimeError(f"{url} answered {len(found)} scores that are not those of the model")


def _post(url: str, body: bytes, content_type: str) -> bytes:
    request = urllib.request.Request(url, body, {"content-type": content_type})
    with urllib.request.urlopen(request, timeout=30) as response:
        content: bytes = response.read()
        return content
