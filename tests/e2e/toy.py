"""A served model without data or training around it: versions are made in a moment, rollouts last seconds."""

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlops_ray.control.operations import command_rollout, deploy, register, undeploy
from mlops_ray.demo.traffic import TrafficDriver
from mlops_ray.drift import Column, ReferenceProfile, build_reference
from mlops_ray.lake import Lake
from mlops_ray.model import (
    InputColumn,
    Manifest,
    Probe,
    Signature,
    TrainedModel,
    build_probe,
    encode,
    load_bundle,
    publish_bundle,
    write_bundle,
)
from mlops_ray.rollout import Phase
from mlops_ray.spec import ModelSpec, Workspace, parse_spec
from mlops_ray.store import Event, ModelVersionRecord, RolloutRecord, Stage, Store

__all__ = ["SIGNATURE", "Toy", "kill", "reference", "rows", "sound_model", "until"]

SIGNATURE = Signature(
    (
        InputColumn("a", "float", False, ()),
        InputColumn("b", "int", True, ()),
        InputColumn("c", "category", False, ("x", "z")),
    ),
    "binary",
    "uid",
)
_SPEC: dict[str, Any] = {
    "data": {
        "source": "/nowhere",
        "label": "y",
        "unit": "uid",
        "features": {
            "a": "float",
            "b": {"type": "int", "max_null_share": 0.5},
            "c": {"type": "category", "categories": ["x", "z"]},
        },
    },
    # What is tested is what is answered; the machines tests run on are too busy to ask how fast.
    "serve": {
        "resources": {"cpus": 0.1},
        "deadline_ms": 3000,
        "canary_deadline_ms": 1000,
        "latency_objective_ms": 2000,
    },
    "rollout": {
        "steps": [{"share": 0.3, "min_s": 6, "max_s": 90, "min_requests": 40}],
        "analysis": {"max_bad_share": 0.1},
    },
    "monitor": {"flush_s": 0.5, "window": {"size_s": 20, "every_s": 2, "min_rows": 100}},
}
_RATE_PER_S = 60.0
_TIMEOUT_S = 60.0  # how long a new replica may take in place of the only one, on a busy machine


@dataclass(frozen=True)
class Toy:
    """One model on a running cluster; every test module names its own."""

    workspace: Workspace
    name: str
    replicas: int = 1
    rollout: Mapping[str, Any] = field(default_factory=dict)
    """In place of the canary section."""
    serve: Mapping[str, Any] = field(default_factory=dict)
    """Besides the usual serve section."""
    run_id: str = "none"
    """Of the MLflow run that its versions are of."""
    sections: Mapping[str, Any] = field(default_factory=dict)
    """In place of whole sections of the spec."""

    @property
    def store(self) -> Store:
        """The store of the workspace."""
        return Store(self.workspace.store)

    @property
    def url(self) -> str:
        """Where the model answers."""
        return f"{self.workspace.serve}/v2/models/{self.name}"

    @property
    def spec(self) -> ModelSpec:
        """The spec it is deployed with."""
        autoscaling = {"min_replicas": self.replicas, "max_replicas": self.replicas}
        changes = {"serve": {**_SPEC["serve"], "autoscaling": autoscaling, **self.serve}}
        if self.rollout:
            changes["rollout"] = dict(self.rollout)
        return parse_spec(json.dumps({"name": self.name, **_SPEC, **changes, **self.sections}))

    def add_version(self, model: TrainedModel | None = None) -> int:
        """Keep a version as a training that passed its gates does; a sound model unless told otherwise."""
        known = self.store.model_versions(self.name)
        number = 1 + max((v.version for v in known), default=0)
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "bundle"
            manifest = self.write(written, number, model)
            uri = publish_bundle(written, Lake(self.workspace.lake), self.name)
        record = ModelVersionRecord(
            model=self.name,
            version=number,
            digest=manifest.digest,
            bundle_uri=uri,
            run_id=self.run_id,
            dataset=f"mlops.{self.name}@v1",
            code={},
            metrics={"auc": 0.9},
            gates={},
            verdict="PASS",
            stage=Stage.CANDIDATE,
            created_s=time.time(),
        )
        with self.store.change(Event("model_version.created", f"{self.name}@{number}", {}, "test", time.time())) as c:
            c.put_model_version(record)
        return number

    def write(self, folder: Path, number: int, model: TrainedModel | None) -> Manifest:
        """Write the bundle of a version."""
        model = model or sound_model(10 + number)
        return write_bundle(
            folder,
            model=model,
            signature=SIGNATURE,
            reference=reference(),
            card=f"version {number}",
            probe=_probe(model),
        )

    def deploy(self, version: int) -> RolloutRecord:
        """Begin the delivery of a version; the cluster's control actor carries it out."""
        return deploy(self.store, self.spec, version=version, actor="test", now_s=time.time())

    def first_champion(self) -> "Toy":
        """Make and deliver version 1, and wait until it answers."""
        register(self.store, self.spec, actor="test", now_s=time.time())
        assert self.ended(self.deploy(self.add_version())).phase == Phase.COMPLETED
        return self

    def await_phase(self, rollout: RolloutRecord, *phases: Phase, timeout_s: float = 90.0) -> RolloutRecord:
        """The rollout as soon as it is in one of these phases."""

        def look() -> RolloutRecord | None:
            found = self.store.rollout(rollout.id)
            assert not Phase(found.phase).ended or found.phase in phases, found.state["rollout"]["history"]
            return found if found.phase in phases else None

        return until(look, f"{rollout.id} in {' or '.join(phases)}", timeout_s=timeout_s)

    def ended(self, rollout: RolloutRecord, *, timeout_s: float = 90.0) -> RolloutRecord:
        """The rollout once it has ended, however it did."""
        return self.await_phase(rollout, *(phase for phase in Phase if phase.ended), timeout_s=timeout_s)

    @contextmanager
    def traffic(self, *, rate_per_s: float = _RATE_PER_S) -> Iterator[TrafficDriver]:
        """Steady requests with the policy that clients are asked to follow."""
        url, source = self.workspace.serve, self.source()
        driver = TrafficDriver(
            url, self.name, rate_per_s=rate_per_s, rows=source, unit="uid", timeout_s=_TIMEOUT_S
        ).start()
        try:
            yield driver
        finally:
            driver.stop()

    def source(self) -> Callable[[int], list[dict[str, Any]]]:
        """Where the rows of the traffic come from."""
        return _Source()

    def scores(self, version: int, records: Sequence[Any]) -> NDArray[np.float64]:
        """What the version's own bundle says to these records."""
        bundle = load_bundle(self.store.model_version(self.name, version).bundle_uri)
        table = pa.Table.from_pylist([{name: record.get(name) for name in SIGNATURE.names} for record in records])
        return bundle.predict(encode(SIGNATURE, table))

    def retire(self) -> None:
        """Take the model away, and what a failed test left under way with it."""
        for rollout in self.store.rollouts(self.name, active_only=True):
            command_rollout(self.store, self.name, "abort", by="test", reason="left over", now_s=time.time())
            self.ended(rollout)
        undeploy(self.store, self.name, by="test", reason="the tests have ended", now_s=time.time())


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Records of `SIGNATURE` with their unit; some leave b out."""
    generator = np.random.default_rng(seed)
    numbers = generator.normal(size=count).tolist()
    whole = generator.integers(1, 9, count).tolist()
    return [
        {"uid": f"u{seed}-{i}", "a": numbers[i], "b": whole[i] if i % 5 else None, "c": "xz"[i % 2]}
        for i in range(count)
    ]


@cache
def sound_model(rounds: int) -> TrainedModel:
    """A LightGBM model of so many trees on the toy's rows."""
    x, y = _training()
    booster = lgb.train({"objective": "binary", "verbose": -1, "num_threads": 1}, lgb.Dataset(x, y), rounds)
    return TrainedModel("lightgbm", {"model.lgb.txt": booster.model_to_string().encode()})


def until(look: Callable[[], Any], what: str, *, timeout_s: float) -> Any:
    """What `look` finds, as soon as it is something."""
    deadline_s = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline_s, f"{what} did not come within {timeout_s:g} s"
        time.sleep(0.2)
    return found


def kill(pid: int) -> None:
    """End a process of the session's own cluster without any warning."""
    os.kill(pid, signal.SIGKILL)


class _Source:
    """Ever new rows."""

    def __init__(self) -> None:
        self._seed = 0

    def __call__(self, count: int) -> list[dict[str, Any]]:
        self._seed += 1
        return rows(count, self._seed)


def _training() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    x = encode(SIGNATURE, pa.Table.from_pylist(rows(2000, 0)))
    return x, (x[:, 0] + x[:, 2] > 0.5).astype(np.int64)


def _probe(model: TrainedModel) -> Probe | None:
    """Rows with the model's own predictions; broken models have none, or nothing would be left for a canary to show."""
    if model.flavor != "lightgbm":
        return None
    booster = lgb.Booster(model_str=model.files["model.lgb.txt"].decode())
    table = pa.Table.from_pylist(rows(300, 1))
    return build_probe(SIGNATURE, table, model=model, predict=lambda matrix: np.asarray(booster.predict(matrix)))


@cache
def reference() -> ReferenceProfile:
    """What the toy's features and labels look like."""
    x, y = _training()
    return build_reference([*SIGNATURE.columns(), Column("prediction", "numeric", ())], np.column_stack((x, y)))
