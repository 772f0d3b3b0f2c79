"""Traffic of a small model, as replicas hand it over, and a bundle to hold it against."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray

from mlops_ray.alerting import MemorySink
from mlops_ray.drift import Column, ReferenceProfile, build_reference, fold
from mlops_ray.lake import Lake
from mlops_ray.model import InputColumn, Signature, TrainedModel, publish_bundle, write_bundle
from mlops_ray.monitor import ModelMonitor
from mlops_ray.records import LABELS, served_schema
from mlops_ray.spec import ModelSpec, Workspace, parse_spec
from mlops_ray.store import Event, ModelRecord, ModelVersionRecord, RolloutRecord, Stage, Store

SIGNATURE = Signature((InputColumn("a", "float", False), InputColumn("b", "float", False)), "binary", "uid")
COLUMNS = [*SIGNATURE.columns(), Column("prediction", "numeric", ())]
FEATURES = pa.struct([("a", pa.float64()), ("b", pa.float64())])
ROW: dict[str, Any] = {
    "row": 0,
    "unit": "u",
    "time_s": 1000.0,
    "version": 1,
    "role": "champion",
    "assigned": "champion",
    "canary": 0,
    "epoch": 1,
    "share": 0.1,
    "status": 200,
    "error": None,
    "latency_ms": 3.0,
    "queue_ms": 0.5,
    "predict_ms": 2.0,
    "score": 0.5,
    "paired_score": None,
    "features": {"a": 0.0, "b": 0.0},
}


def served(*rows: dict[str, Any]) -> pa.Table:
    """Records with these values in place of those of ROW; each its own request and unit unless it says so."""
    whole = [{**ROW, "request_id": f"r{i}", "unit": f"u{i}", **row} for i, row in enumerate(rows)]
    return pa.Table.from_pylist(whole, schema=served_schema(FEATURES))


def on(side: str, **changes: Any) -> dict[str, Any]:
    """A request assigned to a side while version 2 was under delivery; a copy when the side is the shadow."""
    return {"assigned": side, "role": side, "canary": 2, "version": 1 if side == "champion" else 2, **changes}


def labels(*rows: tuple[str, int, float, float]) -> pa.Table:
    """Outcomes (request, row, label, received_s)."""
    return pa.Table.from_pylist([dict(zip(LABELS.names, row, strict=True)) for row in rows], schema=LABELS)


def rows_of(count: int, *, seed: int, shift_a: float = 0.0, shift_b: float = 0.0) -> NDArray[np.float64]:
    """Features and prediction (count, 3) of `count` requests; without shifts as in training."""
    generator = np.random.default_rng(seed)
    a, b = generator.normal(shift_a, 1.0, count), generator.normal(shift_b, 1.0, count)
    return np.column_stack((a, b, generator.uniform(size=count)))


def reference() -> ReferenceProfile:
    """The profile of the training rows."""
    return build_reference(COLUMNS, rows_of(4000, seed=0))


def toy_spec(**sections: Any) -> ModelSpec:
    """The spec of model "toy", judged every 10 s over 200 s; `sections` replace whole sections."""
    content = {
        "name": "toy",
        "data": {"source": "/nowhere", "label": "y", "unit": "uid", "features": {"a": "float", "b": "float"}},
        "serve": {"latency_objective_ms": 100},
        "monitor": {"window": {"size_s": 200, "every_s": 10, "min_rows": 200}},
    }
    return parse_spec(yaml.safe_dump(content | sections))


@dataclass
class Watch:
    """A model with a champion, its monitor, and replicas that hand over what they served."""

    workspace: Workspace
    folder: Path
    spec: ModelSpec = field(default_factory=toy_spec)
    now_s: float = 1_700_000_000.0

    def __post_init__(self) -> None:
        self.store = Store(self.workspace.store)
        self.store.create()
        self.sink = MemorySink()
        self._numbers = itertools.count()
        self._seeds: Iterator[int] = itertools.count(1)
        with self.store.change(Event("model.registered", "toy", {}, "test", 0.0)) as change:
            change.put_model(ModelRecord("toy", self.spec.model_dump_json(), 0.0))
        self.put_champion(1)
        self.monitor = self.new_monitor()

    def put_champion(self, version: int, *, training: Mapping[str, Any] | None = None) -> None:
        """A version with a real bundle takes over."""
        description = b'{"class": "tests.model.conftest:Doubler"}'
        folder = self.folder / f"bundle-{version}"
        manifest = write_bundle(
            folder,
            model=TrainedModel("python", {"predictor.json": description, "version": str(version).encode()}),
            signature=SIGNATURE,
            reference=reference(),
            card="# Toy\n",
        )
        record = ModelVersionRecord(
            model="toy",
            version=version,
            digest=manifest.digest,
            bundle_uri=publish_bundle(folder, Lake(self.workspace.lake), "toy"),
            run_id="run",
            dataset="mlops.toy@v1",
            code={},
            metrics={"auc": 0.9, "log_loss": 0.3},
            gates={},
            verdict="PASS",
            stage=Stage.CHAMPION,
            created_s=self.now_s,
            training=training or {},
        )
        with self.store.change(Event("model_version.created", f"toy@{version}", {}, "test", 0.0)) as change:
            change.put_model_version(record)

    def new_monitor(self) -> ModelMonitor:
        """As after a restart of the drift actor: it knows what is in the store and the lake."""
        monitor = ModelMonitor(self.spec, self.workspace, self.store, now_s=self.now_s, sinks=[self.sink])
        monitor.follow(self.now_s)
        catch_up(monitor, self.now_s)
        return monitor

    def put_rollout(self, **changes: Any) -> None:
        """Begin or change the rollout of version 2."""
        known = next(iter(self.store.rollouts("toy")), None)
        record = rollout(**changes) if known is None else replace(known, **changes)
        with self.store.change(Event("rollout.changed", record.id, {}, "test", 0.0)) as change:
            change.put_rollout(record, expected_revision=None if known is None else known.revision)

    def handover(self, matrix: NDArray[np.float64], *, version: int = 1) -> dict[str, Any]:
        """What a replica hands over after it answered these rows as champion, just now."""
        rows = [
            {"time_s": self.now_s, "version": version, "score": score, "features": {"a": a, "b": b}}
            for a, b, score in matrix.tolist()
        ]
        number = next(self._numbers)
        names = [{"request_id": f"{number}-{i}"} for i in range(len(rows))]
        return {
            "name": f"replica-{number:08d}",
            "time_s": self.now_s,
            "version": version,
            "records": served(*[row | name for row, name in zip(rows, names, strict=True)]),
            "profile": fold(reference(), matrix).to_bytes(),
        }

    def go_on(self, seconds: int, *, rows: int = 50, version: int = 1, **shifts: float) -> None:
        """Ten-second steps of traffic, each handed over, followed and judged."""
        for _ in range(seconds // 10):
            self.now_s += 10.0
            if rows:
                matrix = rows_of(rows, seed=next(self._seeds), **shifts)
                self.monitor.receive(self.handover(matrix, version=version))
            self.monitor.follow(self.now_s)
            judge = self.monitor.judge(self.now_s)
            if judge is not None:
                seen = judge.measure(self.now_s)
                self.monitor.weigh(judge, seen, self.now_s)

    def open_alerts(self) -> list[tuple[str, int | None, Sequence[str]]]:
        """Kind, version and features of every open alert."""
        return [(a.kind, a.version, sorted(a.features)) for a in self.store.alerts("toy", state="open")]

    def told(self) -> list[str]:
        """Ids of what people were told, once it has arrived."""
        self.monitor.close()
        return [alert.id for alert in self.sink.alerts]


def catch_up(monitor: ModelMonitor, now_s: float) -> None:
    """Read and join what there is, as the actor's second thread does."""
    reading, joining = monitor.reading(), monitor.joining(now_s)
    if reading is not None:
        monitor.take_reading(reading, reading.ledger())
    if joining is not None:
        monitor.take_joining(joining, joining.totals(), now_s)


def rollout(**changes: Any) -> RolloutRecord:
    """A rollout of version 2 under way."""
    values: dict[str, Any] = {
        "id": "toy-v2",
        "model": "toy",
        "version": 2,
        "previous": 1,
        "phase": "CANARY",
        "state": {},
        "revision": 1,
        "created_s": 0.0,
        "updated_s": 0.0,
    }
    return RolloutRecord(**values | changes)
