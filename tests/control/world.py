"""One model in a small world: a real store, hosting and traffic in memory, a clock that goes on by the tick."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mlops_ray.control.memory_evidences import MemoryEvidences
from mlops_ray.control.memory_parity import MemoryParity
from mlops_ray.control.operations import deploy, register
from mlops_ray.control.reconciler import Reconciler, Sources
from mlops_ray.errors import MetricError
from mlops_ray.rollout import Block, Phase
from mlops_ray.serve.memory_hosting import MemoryHosting
from mlops_ray.spec import ModelSpec, parse_spec
from mlops_ray.store import Event, ModelVersionRecord, RolloutRecord, RouteRecord, Stage, Store

FINE = Block(200, 1800, 0, 0, 0, 0, share=0.1)
WORSE = Block(200, 1800, 20, 2, 0, 0, share=0.1)
NOTHING = None
ENDED = tuple(phase for phase in Phase if phase.ended)


def toy_spec(**sections: Any) -> ModelSpec:
    """The spec of model "toy": two canary steps of a few seconds; `sections` replace whole sections."""
    step = {"min_s": 2, "max_s": 30, "min_requests": 100}
    content = {
        "name": "toy",
        "data": {"source": "/nowhere", "label": "y", "features": {"a": "float"}},
        "rollout": {"steps": [{"share": 0.1, **step}, {"share": 0.5, **step}], "ready_timeout_s": 20},
    }
    return parse_spec(yaml.safe_dump(content | sections))


def version(number: int, **changes: Any) -> ModelVersionRecord:
    """A version of "toy" that passed its gates."""
    values: dict[str, Any] = {
        "model": "toy",
        "version": number,
        "digest": f"{number:064x}",
        "bundle_uri": f"file:///lake/models/toy/{number:012x}",
        "run_id": "run",
        "dataset": "mlops.toy@v1",
        "code": {},
        "metrics": {"auc": 0.9},
        "gates": {},
        "verdict": "PASS",
        "stage": Stage.CANDIDATE,
        "created_s": 0.0,
    }
    return ModelVersionRecord(**values | changes)


def put_version(store: Store, record: ModelVersionRecord) -> None:
    """Keep a version as a training would."""
    with store.change(Event("model_version.created", f"toy@{record.version}", {}, "test", 0.0)) as change:
        change.put_model_version(record)


@dataclass
class MemoryMetrics:
    """Prometheus without a server: what each query gives now; a query it does not know cannot be measured."""

    values: dict[str, float] = field(default_factory=dict)

    def value(self, query: str) -> float:
        """See `Metrics.value`."""
        if query not in self.values:
            raise MetricError(f"no answer to {query!r}")
        return self.values[query]


@dataclass
class World:
    """Everything around the reconciler of one model."""

    folder: Path
    spec: ModelSpec = field(default_factory=toy_spec)
    versions: int = 3
    traffic: Block | None = FINE
    now_s: float = 1000.0

    def __post_init__(self) -> None:
        self.store = Store(f"sqlite:///{self.folder / 'store.db'}")
        self.store.create()
        register(self.store, self.spec, actor="test", now_s=self.now_s)
        for number in range(1, self.versions + 1):
            put_version(self.store, version(number))
        self.hosting = MemoryHosting(self.store.route)
        self.evidences = MemoryEvidences()
        self.parity = MemoryParity()
        self.metrics = MemoryMetrics()
        self.reconciler = self.new_reconciler()

    def new_reconciler(self) -> Reconciler:
        """As after a restart of the control actor: it knows nothing."""
        return Reconciler(self.store, self.hosting, self.sources, clock=lambda: self.now_s)

    @property
    def sources(self) -> Sources:
        """Whom a reconciler asks here."""
        return Sources(self.evidences, self.metrics, self.parity)

    def deploy(self, number: int) -> RolloutRecord:
        """Begin the delivery of a version."""
        return deploy(self.store, self.spec, version=number, actor="test", now_s=self.now_s)

    def tick(self, times: int = 1) -> None:
        """Some seconds go by, with traffic."""
        for _ in range(times):
            self.now_s += 1.0
            self.serve()
            self.reconciler.tick()

    def serve(self) -> None:
        """What the replicas of this second answered goes to the evidence."""
        held = self.hosting.applied("toy")
        if held and held[0].canary is not None and self.traffic is not None:
            self.evidences.add("toy", held[0].canary, [self.traffic], epoch=held[0].epoch)

    def run(self, rollout: RolloutRecord, *until: Phase, ticks: int = 150) -> RolloutRecord:
        """Tick until the rollout is in one of these phases, by default until it has ended."""
        for _ in range(ticks):
            found = self.store.rollout(rollout.id)
            if found.phase in (until or ENDED):
                return found
            self.tick()
        raise AssertionError(f"still {self.store.rollout(rollout.id).phase} after {ticks} ticks")

    def champion(self, number: int) -> "World":
        """Deliver a version to its end."""
        assert self.run(self.deploy(number)).phase == Phase.COMPLETED
        return self

    @property
    def route(self) -> RouteRecord:
        """The route of the model, which exists."""
        found = self.store.route("toy")
        assert found is not None
        return found

    def stage(self, number: int) -> Stage:
        """The stage of a version."""
        return self.store.model_version("toy", number).stage

    def kinds(self, subject: str | None = None) -> list[str]:
        """Kinds of the audit events, oldest first."""
        return [event.kind for event in self.store.events(subject=subject)]

    def apps(self) -> set[str]:
        """Applications that are there once those that go have gone."""
        self.hosting.statuses()
        return set(self.hosting.statuses())
