"""Steady traffic through all that happens to a served model: `python -m benchmarks.soak [--minutes 10] [--json]`.

A cluster of its own, a champion on two replicas, 220 requests/s with the retry policy that clients are asked to follow
(steady_client.py). In turns until the time is up: a sound version is delivered and rolled back again, a version that
raises is rolled back by itself, a version is delivered while a replica of the canary and the control actor are killed,
a replica of the champion is killed, HAProxy is killed (always SIGKILL). Every answer is held against the predictions
of the version that it names. Exit code 1 when a request got no right answer.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
# `python benchmarks/soak.py` is as good as `python -m benchmarks.soak`.
sys.path.insert(0, str(ROOT))

from benchmarks.accounting import Episode, Row, account, broken_promises, table  # noqa: E402
from benchmarks.cluster_processes import canary_pids, champion_pids, control_pid, haproxy_pid  # noqa: E402
from benchmarks.delivered_model import DeliveredModel, until  # noqa: E402
from benchmarks.machine import describe_machine, describe_versions  # noqa: E402
from benchmarks.steady_client import SteadyClient  # noqa: E402
from benchmarks.workload import NAMES, make_workload  # noqa: E402
from mlops_ray.control.local_cluster import LocalCluster, Ports  # noqa: E402
from mlops_ray.rollout import Phase  # noqa: E402
from mlops_ray.spec import Workspace  # noqa: E402
from mlops_ray.store import RolloutRecord  # noqa: E402

__all__ = ["Soak", "main", "run"]

REPLICAS = 2
_SETTLES_S = 2.0  # what a change or a kill may still do to requests after it is over
_HEALS_S = 60.0


@dataclass
class Soak:
    """One model under traffic, and what was done to it."""

    model: DeliveredModel
    client: SteadyClient
    rows: NDArray[np.float64]
    episodes: list[Episode] = field(default_factory=list)
    expected: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    outcomes: list[str] = field(default_factory=list)

    def cycle(self) -> None:
        """Everything once."""
        self._deliver_and_undo()
        self._deliver_a_bad_version()
        self._deliver_through_kills()
        self._kill("a champion replica killed", self._kill_champion_replica)
        self._kill("HAProxy killed", self._kill_haproxy)

    def sound_version(self) -> int:
        """A version that differs from every other, and predicts well."""
        trees = 40 + 2 * (len(self.expected) % 30)
        version = self.model.add_version(trees=trees)
        self.expected[version] = self.model.scores(self.rows, trees=trees)
        return version

    def _deliver_and_undo(self) -> None:
        rollout = self.model.deploy(self.sound_version())
        self._told(self.model.await_phase(rollout, Phase.COMPLETED), "deploy", "canary steps", "promote")
        with self._episode("rollback of a promotion"):
            self.model.roll_back()
            time.sleep(_SETTLES_S)

    def _deliver_a_bad_version(self) -> None:
        rollout = self.model.deploy(self.model.add_version(kind="benchmarks.predictors:Raises"))
        ended = self.model.await_phase(rollout, Phase.ROLLED_BACK)
        self._told(ended, "deploy", "canary of a bad version", "rollback of a bad version")

    def _deliver_through_kills(self) -> None:
        version = self.sound_version()
        rollout = self.model.deploy(version)
        self.model.await_phase(rollout, Phase.CANARY)
        self._await_answer_of(version)
        kills: list[Episode] = []
        with self._episode("a canary replica killed", kills):
            self._kill_canary_replica(version)
        with self._episode("the control actor killed", kills):
            self._kill_control_actor()
        # Whether a canary that lost a replica goes on is for its analysis to say; users must not notice either way.
        ended = self.model.await_phase(rollout, Phase.COMPLETED, Phase.ROLLED_BACK)
        self._told(ended, "deploy", "canary steps", "promote" if ended.phase == Phase.COMPLETED else "rollback")
        self.episodes += kills  # after the phases, which they are a part of

    # -- kills ---------------------------------------------------------------------------------------------------------

    def _kill_champion_replica(self) -> None:
        before = until(self._complete, "all champion replicas", timeout_s=_HEALS_S)
        _sigkill(before[0])
        until(lambda: before[0] not in self._complete(before[0]), "another champion replica", timeout_s=_HEALS_S)

    def _complete(self, without: int = 0) -> list[int]:
        """All champion replicas; as long as some are missing those that are not there, too."""
        pids = champion_pids(self.model.workspace, self.model.name)
        return pids if len(pids) == REPLICAS else ([without] if without else [])

    def _kill_canary_replica(self, version: int) -> None:
        before = canary_pids(self.model.workspace, self.model.name, version)
        _sigkill(before[0])

        def healed() -> bool:
            if not self.model.store.rollouts(self.model.name, active_only=True):
                return True
            now = canary_pids(self.model.workspace, self.model.name, version)
            return before[0] not in now and len(now) == len(before)

        until(healed, "another canary replica", timeout_s=_HEALS_S)

    def _kill_control_actor(self) -> None:
        before = control_pid(self.model.workspace)
        _sigkill(before)
        until(lambda: control_pid(self.model.workspace) != before, "another control actor", timeout_s=_HEALS_S)

    def _kill_haproxy(self) -> None:
        before = haproxy_pid(self.model.workspace)
        assert before is not None, "it answers, so it listens"
        _sigkill(before)
        killed_s = time.time()
        until(lambda: self._answered_since(killed_s), "an answer through another HAProxy", timeout_s=_HEALS_S)

    def _answered_since(self, at_s: float) -> bool:
        return any(r.score is not None and r.due_s > at_s for r in self.client.log[-5000:])

    def _await_answer_of(self, version: int) -> None:
        until(
            lambda: any(r.version == version for r in self.client.log[-5000:]),
            f"the first answer of version {version}",
            timeout_s=_HEALS_S,
        )

    def _kill(self, name: str, kill: Callable[[], None]) -> None:
        with self._episode(name):
            kill()
            time.sleep(_SETTLES_S)

    # -- episodes ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _episode(self, name: str, into: list[Episode] | None = None) -> Iterator[None]:
        """What is done inside; requests under way at its start belong to it."""
        _say(name)
        since_s = time.time() - 0.5
        yield
        (self.episodes if into is None else into).append(Episode(name, since_s, time.time()))

    def _told(self, rollout: RolloutRecord, deploy: str, canary: str, end: str) -> None:
        """The episodes of a rollout that has ended, by its own history."""
        promoted = len(self.model.store.events(subject=rollout.id, kind="rollout.completed"))
        if promoted != (rollout.phase == Phase.COMPLETED):
            raise RuntimeError(f"{rollout.id} is {rollout.phase}, and was promoted {promoted} times")
        state = rollout.state["rollout"]
        marks = {mark["phase"]: mark["at_s"] for mark in reversed(state["history"])}
        last_s = next(marks[p] for p in (Phase.PROMOTING, Phase.ROLLING_BACK) if p in marks)
        canary_s = marks.get(Phase.CANARY, last_s)
        time.sleep(_SETTLES_S)
        self.episodes += [
            Episode(deploy, rollout.created_s, canary_s),
            Episode(canary, canary_s, last_s),
            Episode(end, last_s, time.time()),
        ]
        outcome = f"{rollout.id}: {rollout.phase}, {state['reason']}"
        self.outcomes.append(outcome)
        _say(outcome)


def run(workspace: Workspace, *, name: str, rate_per_s: float, step_s: float, minutes: float) -> dict[str, Any]:
    """Soak a model of its own on a running cluster for so long, one cycle at least; the report."""
    with tempfile.TemporaryDirectory() as folder:
        workload = make_workload(Path(folder), seed=7)
        model = DeliveredModel(workspace, name, Path(folder), changes=_changes(step_s))
        rows = [dict(zip(NAMES, row, strict=True)) for row in workload.rows.tolist()]
        client = SteadyClient(f"{model.url}/predict", rows, rate_per_s=rate_per_s)
        soak = Soak(model, client, workload.rows)
        model.await_phase(model.deploy(soak.sound_version()), Phase.COMPLETED)
        started_s, cycles = time.time(), 0
        try:
            with client:
                while cycles == 0 or time.time() - started_s < 60 * minutes:
                    soak.cycle()
                    cycles += 1
            wall_s = time.time() - started_s
        finally:
            model.retire()
        accounts = account(client.log, soak.episodes, soak.expected)
    return {
        "benchmark": "soak",
        "requests_per_s": round(len(client.log) / wall_s, 1),
        "minutes": round(wall_s / 60, 2),
        "cycles": cycles,
        "requests": len(client.log),
        "client_cpu_share": round(client.cpu_s / wall_s, 3),
        "rows": [asdict(row) for row in accounts],
        "rollouts": soak.outcomes,
        "audit_chain_verified": model.store.verify().verified,
        "broken_promises": broken_promises(accounts),
    }


def _changes(step_s: float) -> dict[str, dict[str, Any]]:
    """A spec whose rollouts take seconds; the machine may be busy, so that only errors are judged."""
    replicas = {"min_replicas": REPLICAS, "max_replicas": REPLICAS}
    steps = [{"share": share, "min_s": step_s, "max_s": 120, "min_requests": 40} for share in (0.1, 0.3, 0.6)]
    return {
        "serve": {
            "resources": {"cpus": 0.1},
            "autoscaling": replicas,
            "canary_autoscaling": replicas,
            "deadline_ms": 3000,
            "canary_deadline_ms": 1000,
            "latency_objective_ms": 2000,
        },
        "rollout": {"steps": steps, "analysis": {"max_bad_share": 0.1}},
        "monitor": {"flush_s": 0.5},
    }


def _sigkill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def _say(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak, print, and write the report where asked; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=220.0, help="requests/s")
    parser.add_argument("--step-s", type=float, default=4.0, help="seconds that a canary step takes at least")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object on the last line")
    parser.add_argument("--output", type=Path, help="write the report to this file too")
    options = parser.parse_args(arguments)
    # Replicas import predictors of this repository.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    with tempfile.TemporaryDirectory(prefix="mlops-ray-soak-") as home:
        cluster = LocalCluster(Workspace.at(home))
        report: dict[str, Any] = {"broken_promises": ["it did not come to its end"]}
        try:
            workspace = cluster.up(Ports.free(), cpus=4, mlflow_ui=False, progress=_say)
            report = run(
                workspace, name="soaked", rate_per_s=options.rate, step_s=options.step_s, minutes=options.minutes
            )
        finally:
            cluster.down()
            if report["broken_promises"]:
                kept = tempfile.mkdtemp(prefix="mlops-ray-soak-failed-")
                shutil.copytree(home, kept, dirs_exist_ok=True, ignore_dangling_symlinks=True)
                _say(f"the cluster's store and logs are kept in {kept}")
    report = {**report, "machine": describe_machine(), "versions": describe_versions("mlops-ray", "ray", "lightgbm")}
    print(table([Row(**row) for row in report["rows"]]))
    print("\n".join(report["broken_promises"]) or "every request got the right answer")
    if options.output is not None:
        options.output.write_text(json.dumps(report, indent=1) + "\n")
    if options.json:
        print(json.dumps(report))
    return 1 if report["broken_promises"] else 0


if __name__ == "__main__":
    sys.exit(main())
