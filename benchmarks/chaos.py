"""The loop under SIGKILL: `python -m benchmarks.chaos [--cycles 5] [--json]`.

The demo's model on a cluster of its own, its runs on an MLflow server, under traffic with outcomes coming back. In each
cycle the world changes and the loop has to go round by itself: drift alert, trigger, job, ingest, sweep, gates, canary,
champion. At every edge of it (chaos_watch.py: an arrow of the architecture is an event of the audit chain) one process
is killed: the control actor, the drift actor, the retraining driver, the MLflow server or a replica of the champion, in
turns, so that five cycles kill each of them at each edge. Afterwards there must be exactly one promotion a cycle, one
job for each trigger that was submitted and never two at a time, every outcome that was accepted, an audit chain that
verifies, and no request without an answer by the documented client policy. Exit code 1 where one of these is missing.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from ray.job_submission import JobSubmissionClient

ROOT = Path(__file__).resolve().parents[1]
# `python benchmarks/chaos.py` is as good as `python -m benchmarks.chaos`.
sys.path.insert(0, str(ROOT))

from benchmarks.chaos_victims import MlflowServer, Victims  # noqa: E402
from benchmarks.chaos_watch import EDGES, Watch  # noqa: E402
from benchmarks.delivered_model import until  # noqa: E402
from benchmarks.machine import describe_machine, describe_versions  # noqa: E402
from mlops_ray.control.local_cluster import LocalCluster, Ports, free_port  # noqa: E402
from mlops_ray.control.operations import deploy, ingest_batch, register  # noqa: E402
from mlops_ray.demo.traffic import TrafficDriver  # noqa: E402
from mlops_ray.demo.world import World  # noqa: E402
from mlops_ray.errors import ClusterError  # noqa: E402
from mlops_ray.lake import Lake  # noqa: E402
from mlops_ray.records import RecordLog  # noqa: E402
from mlops_ray.rollout import Phase  # noqa: E402
from mlops_ray.spec import ModelSpec, Workspace, load_spec  # noqa: E402
from mlops_ray.store import Store  # noqa: E402
from mlops_ray.tracking import code_version  # noqa: E402
from mlops_ray.train import run_training  # noqa: E402

__all__ = ["main", "run"]

_SEED, _ROWS, _RATE_PER_S = 11, 6000, 40.0
_START, _MONTH = datetime(2026, 6, 1, tzinfo=UTC), timedelta(days=31)
_CYCLE_S = 420.0
_SETTLES_S = 15.0
_LABELLED_PER_LOOK = 200
_LOOK_S = 0.5
_ENDED = ("succeeded", "failed", "refused")


def _spec(home: Path) -> ModelSpec:
    """The demo's, on two replicas, ready to retrain again and again."""
    content = yaml.safe_load(files("mlops_ray.demo").joinpath("churn.yaml").read_text(encoding="utf-8"))
    content["serve"]["autoscaling"] = {"min_replicas": 2, "max_replicas": 2}
    content["serve"] |= {"deadline_ms": 4000, "canary_deadline_ms": 1500, "latency_objective_ms": 3000}
    # What is shown here is that the loop goes round once; whether a version is good is shown elsewhere.
    content["rollout"]["analysis"] = {"max_bad_share": 0.1}
    content["train"] |= {"trials": 2}
    content["gates"] = [{"metric": "auc", "min": 0.7}]
    content["retrain"]["guards"] = {"cooldown_s": 1, "max_per_day": 1000, "retry_s": 2, "max_attempts": 5}
    (home / "churn.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return load_spec(home / "churn.yaml")


@dataclass
class _Story:
    """Traffic, outcomes and worlds; what was accepted and what came of it."""

    workspace: Workspace
    spec: ModelSpec
    store: Store
    watch: Watch
    worlds: tuple[World, World] = (World(seed=_SEED), World(seed=_SEED, covariate_drift=1.0, concept_drift=1.0))
    accepted: dict[str, int] = field(default_factory=dict)
    refused_posts: int = 0
    cycles: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._batches, self._seeds = count(), count(1000)
        self._world = self.worlds[0]
        self._pending: dict[str, int] = {}
        self.driver = TrafficDriver(self.workspace.serve, self.spec.name, rate_per_s=_RATE_PER_S, rows=self._rows)

    def first_champion(self) -> None:
        """Ingest, train and deliver, in peace."""
        register(self.store, self.spec, actor="chaos", now_s=time.time())
        self._land()
        how: dict[str, Any] = {"actor": "chaos", "clock": time.time, "progress": _say}
        ingest_batch(self.store, self.spec, self.workspace, **how)
        version = run_training(self.spec, self.workspace, code=code_version(Path.cwd()), **how)
        rollout = deploy(self.store, self.spec, version=version.version, actor="chaos", now_s=time.time())
        until(lambda: self.store.rollout(rollout.id).phase == Phase.COMPLETED, "the first champion", timeout_s=180)

    def cycle(self, number: int) -> None:
        """The world changes; the loop has to notice and go round once, whoever dies."""
        self._watch_traffic(5.0)
        began_s = time.time()
        self.watch.begin(number)
        self._world = self.worlds[(number + 1) % 2]
        self._land()
        self.driver.set_rows(self._rows)
        deadline_s = time.monotonic() + _CYCLE_S
        while time.monotonic() < deadline_s and not self._gone_round(began_s):
            self._watch_traffic(_LOOK_S)
        self._watch_traffic(_SETTLES_S)  # whatever would be started twice is started now
        self.cycles.append(self._account(number, began_s))
        _say(json.dumps(self.cycles[-1]))

    def _gone_round(self, began_s: float) -> bool:
        new = [t for t in self.store.triggers(self.spec.name) if t.created_s >= began_s]
        under_way = self.store.rollouts(self.spec.name, active_only=True)
        return bool(self._completed(began_s)) and not under_way and all(t.state in _ENDED for t in new)

    def _completed(self, began_s: float) -> list[Any]:
        return [e for e in self.store.events(kind="rollout.completed") if e.at_s >= began_s]

    def _account(self, number: int, began_s: float) -> dict[str, Any]:
        triggers = [t for t in self.store.triggers(self.spec.name) if t.created_s >= began_s]
        return {
            "cycle": number + 1,
            "wall_s": round(time.time() - began_s, 1),
            "promotions": len(self._completed(began_s)),
            "triggers": {t.id: f"{t.state}: {t.reason}"[:160] for t in triggers},
            "edges_not_passed": self.watch.not_passed,
        }

    def _land(self) -> None:
        number = next(self._batches)
        batch = self._world.batch(_ROWS, _START + number * _MONTH, seed=100 + number)
        pq.write_table(batch, Path(self.spec.data.source) / f"batch-{number:03d}.parquet")

    def _rows(self, n: int) -> list[dict[str, Any]]:
        return self._world.requests(n, _START, seed=next(self._seeds))

    def _watch_traffic(self, seconds: float) -> None:
        """Let time pass; outcomes that were not accepted are sent again."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            time.sleep(min(_LOOK_S, max(0.0, until_s - time.monotonic())))
            answers = self.driver.drain_answers()[-_LABELLED_PER_LOOK:]
            if answers:
                outcomes = self._world.outcomes([a.row for a in answers])
                self._pending |= {a.request_id: int(y) for a, y in zip(answers, outcomes, strict=True)}
            if not self._pending:
                continue
            try:
                self.driver.send_labels(self._pending)
            except ClusterError:
                self.refused_posts += 1
                continue
            self.accepted |= self._pending
            self._pending = {}


def _broken(report: dict[str, Any]) -> list[str]:
    """Promises that were not kept."""
    found = [f"cycle {c['cycle']}: {c['promotions']} promotions" for c in report["cycles"] if c["promotions"] != 1]
    if report["jobs"] != report["triggers_submitted"] or report["drivers_at_once"] > 1:
        found.append(
            f"{report['jobs']} jobs for {report['triggers_submitted']} triggers, {report['drivers_at_once']} at once"
        )
    if report["labels_lost"] or report["labels_wrong"]:
        found.append(f"{report['labels_lost']} accepted outcomes lost, {report['labels_wrong']} wrong")
    if not report["audit"]["verified"]:
        found.append(f"the audit chain does not verify: {report['audit']['problem']}")
    if report["requests"]["failed"]:
        found.append(f"{report['requests']['failed']} requests failed: {report['requests']['first_error']}")
    return found


def run(home: Path, *, cycles: int) -> dict[str, Any]:
    """Start a cluster in `home`, let the loop go round under kills, end the cluster; the report."""
    mlflow = MlflowServer(home / "mlflow", free_port())
    workspace = Workspace.at(home).model_copy(update={"tracking": mlflow.uri})
    (home / "landing").mkdir(parents=True)
    workspace.save()
    cluster = LocalCluster(workspace)
    try:
        mlflow.start()
        workspace = cluster.up(Ports.free(), cpus=6, mlflow_ui=False, progress=_say)
        spec, store = _spec(home), Store(workspace.store)
        watch = Watch(store, Victims(workspace, spec.name, mlflow), _say)
        story = _Story(workspace, spec, store, watch)
        story.first_champion()
        story.driver.start()
        watch.start()
        for number in range(cycles):
            story.cycle(number)
        watch.end()
        return _report(story, workspace)
    finally:
        cluster.down()
        mlflow.end()


def _report(story: _Story, workspace: Workspace) -> dict[str, Any]:
    counts = story.driver.stop()
    labels = RecordLog(Lake(workspace.lake), story.spec.name).labels(0.0).select(["request_id", "label"]).to_pylist()
    kept = {row["request_id"]: row["label"] for row in labels}
    jobs = JobSubmissionClient(workspace.dashboard).list_jobs()
    submitted = [t for t in story.store.triggers(story.spec.name) if t.submission_id is not None]
    report = {
        "benchmark": "chaos",
        "cycles": story.cycles,
        "kills": [asdict(kill) for kill in story.watch.kills],
        "killed": sum(kill.pid is not None for kill in story.watch.kills),
        "edges": dict(EDGES),
        "jobs": sum(str(job.submission_id).startswith("retrain-") for job in jobs),
        "triggers_submitted": len(submitted),
        "drivers_at_once": story.watch.drivers_at_once,
        "labels_accepted": len(story.accepted),
        "labels_lost": len(story.accepted.keys() - kept.keys()),
        "labels_wrong": sum(kept.get(id, label) != label for id, label in story.accepted.items()),
        "label_posts_sent_again": story.refused_posts,
        "requests": {name: getattr(counts, name) for name in ("sent", "answered", "failed", "retried", "first_error")},
        "audit": asdict(story.store.verify()),
    }
    return report | {"broken_promises": _broken(report)}


def _say(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


def _table(report: dict[str, Any]) -> str:
    lines = [f"{'edge':24} " + " ".join(f"{'cycle ' + str(c['cycle']):20}" for c in report["cycles"])]
    for edge in report["edges"]:
        cells = []
        for cycle in report["cycles"]:
            here = [k for k in report["kills"] if k["edge"] == edge and k["cycle"] == cycle["cycle"] - 1]
            cells.append(" ".join(k["victim"] if k["pid"] else f"({k['victim']})" for k in here) or "-")
        lines.append(f"{edge:24} " + " ".join(f"{cell:20}" for cell in cells))
    return "\n".join([*lines, "in brackets: there was no such process at that moment"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and write the report where asked; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object on the last line")
    parser.add_argument("--output", type=Path, help="write the report to this file too")
    options = parser.parse_args(arguments)
    home = Path(tempfile.mkdtemp(prefix="mlops-ray-chaos-"))
    report = run(home, cycles=options.cycles)
    report |= {"machine": describe_machine(), "versions": describe_versions("mlops-ray", "ray", "mlflow", "lightgbm")}
    print(_table(report))
    print("\n".join(report["broken_promises"]) or "one promotion a cycle, nothing lost, nothing doubled")
    if report["broken_promises"]:
        _say(f"the cluster's store and logs are kept in {home}")
    else:
        shutil.rmtree(home, ignore_errors=True)
    if options.output is not None:
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(report))
    return 1 if report["broken_promises"] else 0


if __name__ == "__main__":
    sys.exit(main())
