"""The demo: one model goes round the whole loop under traffic, on a cluster of its own, and tells what happened."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mlops_ray.control.local_cluster import LocalCluster, Ports
from mlops_ray.control.operations import deploy, ingest_batch, register
from mlops_ray.demo.memory import PeakMemory
from mlops_ray.demo.report import check, gather
from mlops_ray.demo.traffic import TrafficDriver
from mlops_ray.demo.world import World
from mlops_ray.errors import ClusterError, RolloutError
from mlops_ray.rollout import Phase
from mlops_ray.spec import ModelSpec, Workspace, load_spec
from mlops_ray.store import AlertRecord, ModelVersionRecord, RolloutRecord, Store, TriggerRecord
from mlops_ray.tracking import code_version
from mlops_ray.train import run_training

__all__ = ["run_demo"]

_SEED = 11
_START = datetime(2026, 6, 1, tzinfo=UTC)
_MONTH = timedelta(days=31)
_ROWS = 4000
_NEW_ROWS = 6000
_RATE_PER_S = 60.0
_STEADY_S = 12.0
_LABELLED_PER_LOOK = 200
_POLL_S = 0.5
_ACTOR = "demo"
Progress = Callable[[str], None]


@dataclass
class _Steps:
    """Seconds of every step, told as they pass."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, sentence: str) -> Iterator[None]:
        started_s = time.monotonic()
        self.progress(f"[{name}] {sentence}")
        yield
        self.seconds[name] = round(time.monotonic() - started_s, 2)
        self.progress(f"[{name}] done in {self.seconds[name]:.1f} s")


def run_demo(home: Path, *, keep: bool, progress: Progress) -> dict[str, Any]:
    """Run the whole scenario in `home`, which is emptied first; the report, also written to `home/report.json`.

    Raises:
        MlopsRayError: a step did not come out as the scenario says; the cluster is ended all the same.
    """
    started_s = time.monotonic()
    steps = _Steps(progress)
    workspace = _fresh(home, progress)
    cluster = LocalCluster(workspace)
    try:
        with PeakMemory() as memory:
            with steps.step("up", "a Ray cluster with Serve, the drift actor and the control actor"):
                cpus = max(4, os.cpu_count() or 1)
                workspace = cluster.up(Ports.free(), cpus=cpus, mlflow_ui=keep, progress=progress)
            scenario = _Scenario(workspace, home, steps)
            counts, sample = scenario.run()
        report = gather(
            scenario.store,
            scenario.spec,
            workspace,
            counts=counts,
            sample_request=sample,
            steps=steps.seconds,
            kept=keep,
        )
        report |= {"wall_s": round(time.monotonic() - started_s, 1), "peak_memory_bytes": memory.peak_bytes}
    finally:
        if not keep:
            progress("ending the cluster")
            cluster.down()
    (home / "report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    check(report)
    return report


def _fresh(home: Path, progress: Progress) -> Workspace:
    """An empty home with the demo's spec; what an earlier demo left there is ended and removed."""
    workspace = Workspace.at(home)
    if LocalCluster(workspace).down():
        progress("ended the cluster of an earlier demo")
    shutil.rmtree(home, ignore_errors=True)
    (home / "landing").mkdir(parents=True)
    spec = files("mlops_ray.demo").joinpath("churn.yaml").read_text(encoding="utf-8")
    (home / "churn.yaml").write_text(spec, encoding="utf-8")
    workspace.save()
    return workspace


class _Scenario:
    """The story, step by step; every step checks that it came out as told."""

    def __init__(self, workspace: Workspace, home: Path, steps: _Steps) -> None:
        self.workspace = workspace
        self.store = Store(workspace.store)
        self.spec: ModelSpec = load_spec(home / "churn.yaml")
        self._landing = home / "landing"
        self._steps = steps
        self._old = World(seed=_SEED)
        self._new = World(seed=_SEED, covariate_drift=1.0, concept_drift=1.0)
        self._world = self._old
        self._seeds = count(1000)
        self._driver = TrafficDriver(workspace.serve, self.spec.name, rate_per_s=_RATE_PER_S, rows=self._rows)
        self._sample = ""

    def run(self) -> tuple[Any, str]:
        """All steps; the traffic's counters, and the id of one request that was served."""
        step = self._steps.step
        register(self.store, self.spec, actor=_ACTOR, now_s=time.time())
        with step("ingest", "two batches of customers, the second one partly broken"):
            self._land("batch-1", self._old.batch(_ROWS, _START, seed=1))
            self._ingest()
            self._land("batch-2", self._old.broken_batch(_ROWS, _START + _MONTH, seed=2))
            self._ingest()
        with step("train", "a sweep of LightGBM trials, gates, registration"):
            first = self._train(self.spec)
        with step("deploy", "the first champion"):
            self._await_phase(self._deploy(first), Phase.COMPLETED, timeout_s=120)
        self._driver.start()
        try:
            self._loop(step)
        finally:
            counts = self._driver.stop()
        return counts, self._sample

    def _loop(self, step: Callable[[str, str], Any]) -> None:
        with step("traffic", f"{_RATE_PER_S:g} requests a second from the world the model knows"):
            self._watch(_STEADY_S)
        with step("drift", "the world changes; the drift actor has to notice"):
            self._land("batch-3", self._new.batch(_NEW_ROWS, _START + 2 * _MONTH, seed=3))
            self._world = self._new
            self._driver.set_rows(self._rows)
            self._await(self._drift_alerts, "a drift alert", timeout_s=90)
        with step("retrain", "the alert starts a Ray job: ingest, sweep, gates against the champion"):
            trigger = self._await(self._finished_trigger, "the retraining", timeout_s=240)
            if trigger.state != "succeeded":
                raise ClusterError(f"the retraining ended {trigger.state}: {trigger.reason}")
        with step("canary", "the new version takes over step by step, under traffic"):
            self._await_phase(self._newest_rollout(), Phase.COMPLETED, timeout_s=180)
        with step("bad version", "a version with a leak that no offline gate can see"):
            leaky = self.spec.train.model_copy(
                update={"trainer": "mlops_ray.demo.flaky:train", "trials": 1, "space": {"learning_rate": 0.08}}
            )
            self._await_phase(
                self._deploy(self._train(self.spec.model_copy(update={"train": leaky}))),
                Phase.ROLLED_BACK,
                timeout_s=180,
            )
        with step("after", "the champion goes on; what the bad version leaves is a post-mortem"):
            self._await(lambda: self.store.events(kind="rollout.postmortem"), "the post-mortem", timeout_s=60)

    # -- what the steps are made of ------------------------------------------------------------------------------------

    def _rows(self, n: int) -> list[dict[str, Any]]:
        return self._world.requests(n, _START, seed=next(self._seeds))

    def _land(self, name: str, table: Any) -> None:
        pq.write_table(table, self._landing / f"{name}.parquet")

    def _ingest(self) -> None:
        result = ingest_batch(
            self.store, self.spec, self.workspace, actor=_ACTOR, clock=time.time, progress=self._steps.progress
        )
        version = result.version
        self._steps.progress(f"{version.ref}: {version.rows} rows, {version.quarantined_rows} quarantined")

    def _train(self, spec: ModelSpec) -> ModelVersionRecord:
        version = run_training(
            spec,
            self.workspace,
            actor=_ACTOR,
            clock=time.time,
            code=code_version(Path.cwd()),
            progress=self._steps.progress,
        )
        self._steps.progress(f"{version.model} v{version.version}: auc {version.metrics['auc']:.4f}, {version.verdict}")
        return version

    def _deploy(self, version: ModelVersionRecord) -> RolloutRecord:
        return deploy(self.store, self.spec, version=version.version, actor=_ACTOR, now_s=time.time())

    def _newest_rollout(self) -> RolloutRecord:
        return max(self.store.rollouts(self.spec.name), key=lambda rollout: rollout.created_s)

    def _drift_alerts(self) -> list[AlertRecord]:
        return [alert for alert in self.store.alerts(self.spec.name) if alert.kind == "drift"]

    def _finished_trigger(self) -> TriggerRecord | None:
        ended = [t for t in self.store.triggers(self.spec.name) if t.state in ("succeeded", "failed")]
        return ended[0] if ended else None

    def _await_phase(self, rollout: RolloutRecord, phase: Phase, *, timeout_s: float) -> None:
        shown = ""

        def ended() -> RolloutRecord | None:
            nonlocal shown
            now = self.store.rollout(rollout.id)
            state = now.state["rollout"]
            sentence = f"v{now.version} {now.phase}, share {state['share']:g}: {state['reason']}"
            if sentence != shown:
                self._steps.progress(sentence)
                shown = sentence
            return now if Phase(now.phase).ended or now.phase == Phase.PAUSED else None

        record = self._await(ended, f"the rollout of v{rollout.version}", timeout_s=timeout_s)
        if record.phase != phase:
            raise RolloutError(
                f"the rollout of v{rollout.version} ended {record.phase}, the story says {phase}: {shown}"
            )

    def _await(self, look: Callable[[], Any], what: str, *, timeout_s: float) -> Any:
        """Look again and again, sending outcomes meanwhile, until something is there."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            self._watch(_POLL_S)
        raise ClusterError(f"{what} did not come within {timeout_s:g} s; logs are under {self.workspace.home}/logs")

    def _watch(self, seconds: float) -> None:
        """Let time pass; of the answers given meanwhile, some outcomes become known."""
        time.sleep(seconds)
        answers = self._driver.drain_answers()[-_LABELLED_PER_LOOK:]
        if answers:
            outcomes = self._world.outcomes([answer.row for answer in answers])
            self._driver.send_labels({a.request_id: int(y) for a, y in zip(answers, outcomes, strict=True)})
            self._sample = answers[0].request_id
