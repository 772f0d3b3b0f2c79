"""The loop of electricity.py on a cluster: `python -m benchmarks.electricity_served [--json] [--output FILE]`.

Every half-hour is a request of its own over HTTP, sent in time order; the labels of a day are posted when the next one
has been answered. Records, drift actor, alerts, triggers, the retraining as a Ray job (it joins records and labels
into the table, ingests, trains, judges by the gates, registers with MLflow) and the delivery are those that users get.
The schedules that it is held against, and the first champion kept for ever, are computed beside, as in electricity.py.

A day of the stream lasts `--day-s` seconds, and so does a day of the spec. A retraining takes longer than that, which a
real one of a minute does not: so the stream stands still until it has ended and its version serves. What stands still
is the stream, not the clock: windows of time hold fewer rows afterwards.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import requests

ROOT = Path(__file__).resolve().parents[1]
# `python benchmarks/electricity_served.py` is as good as `python -m benchmarks.electricity_served`.
sys.path.insert(0, str(ROOT))

from benchmarks.delivered_model import until  # noqa: E402
from benchmarks.electricity_loop import LoopResult, answers_of  # noqa: E402
from benchmarks.electricity_numbers import comparison, numbers_of, schedules_of  # noqa: E402
from benchmarks.electricity_stream import DAY_ROWS, Stream, drifting_features, read_electricity, spec_of  # noqa: E402
from benchmarks.machine import describe_machine, describe_versions  # noqa: E402
from mlops_ray.control.local_cluster import LocalCluster, Ports  # noqa: E402
from mlops_ray.control.operations import deploy, ingest_batch, register  # noqa: E402
from mlops_ray.model import load_bundle  # noqa: E402
from mlops_ray.rollout import Phase  # noqa: E402
from mlops_ray.spec import ModelSpec, Workspace  # noqa: E402
from mlops_ray.store import Store, TriggerRecord  # noqa: E402
from mlops_ray.tracking import code_version  # noqa: E402
from mlops_ray.train import run_training  # noqa: E402

__all__ = ["ServedStream", "main", "parse", "served_spec"]

_PACKAGES = ("mlops-ray", "ray", "mlflow", "lightgbm", "numpy", "pyarrow")
_COOLDOWN_DAYS, _STANDS_STILL_S = 45, 30.0  # a cooldown goes on while the stream stands still
_LONGEST_S = 300.0  # of a retraining and its delivery
_SETTLES_S = 5.0  # from the last label to the last look at it
_BACKOFF_S = (0.1, 0.3, 0.9, None)


def served_spec(stream: Stream, name: str, source: Path, *, day_s: float) -> ModelSpec:
    """The spec of electricity.py with days of `day_s` seconds, which learns from its records."""
    changes: dict[str, Any] = {
        "name": name,
        "data.source": str(source),
        "monitor.window": {"size_s": 7 * day_s, "every_s": day_s, "min_rows": 200},
        "monitor.labels.matures_s": day_s,
        "monitor.flush_s": min(0.5, day_s / 2),
        "monitor.reports": {"on_alert": False},
        "monitor.operational": {"enabled": False},
        "retrain.guards": {"cooldown_s": _COOLDOWN_DAYS * day_s + _STANDS_STILL_S, "max_per_day": 1000},
        "retrain.data": {"from_records": True, "window": "expanding"},
        "rollout": {"strategy": "all-at-once", "keep_warm_s": 0},
        "serve.resources": {"cpus": 0.2},
        "serve.deadline_ms": 10_000,
    }
    return spec_of(stream, **changes)


@dataclass
class ServedStream:
    """One model on a running cluster, which is asked a stream row by row."""

    spec: ModelSpec
    stream: Stream
    workspace: Workspace
    begin: int
    day_s: float
    progress: Callable[[str], None]
    _scores: list[float] = field(default_factory=list)
    _versions: list[str] = field(default_factory=list)
    _retrained_at: dict[str, int] = field(default_factory=dict)
    _still_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._store = Store(self.workspace.store)
        self._session = requests.Session()
        self._url = f"{self.workspace.serve}/v2/models/{self.spec.name}"
        self._columns = {name: values.tolist() for name, values in self.stream.features.items()}

    def first_champion(self) -> None:
        """Ingest the first days, train on them, and deliver what comes out."""
        source = Path(self.spec.data.source)
        source.mkdir(parents=True)
        pq.write_table(_table(self.stream, self.begin), source / "first-days.parquet")
        how: dict[str, Any] = {"actor": "benchmark", "clock": time.time, "progress": self.progress}
        register(self._store, self.spec, actor="benchmark", now_s=time.time())
        ingest_batch(self._store, self.spec, self.workspace, **how)
        version = run_training(self.spec, self.workspace, code=code_version(Path.cwd()), **how)
        rollout = deploy(self._store, self.spec, version=version.version, actor="benchmark", now_s=time.time())
        until(lambda: self._store.rollout(rollout.id).phase == Phase.COMPLETED, "the first champion", timeout_s=180)

    def live(self) -> None:
        """Each day from `begin` on: its rows are asked, the labels of the day before come, trainings are waited for."""
        for day in range(self.begin, len(self.stream), DAY_ROWS):
            next_s = time.monotonic() + self.day_s
            for row in range(day, min(day + DAY_ROWS, len(self.stream))):
                self._ask(row)
            self._label(max(self.begin, day - DAY_ROWS), day)
            time.sleep(max(0.0, next_s - time.monotonic()))
            self._stand_still(day + DAY_ROWS)
        self._label(len(self.stream) - DAY_ROWS, len(self.stream))
        time.sleep(_SETTLES_S)

    def result(self) -> LoopResult:
        """What happened."""
        wrong = (np.array(self._scores) >= 0.5) != (self.stream.labels[self.begin :] == 1)
        alerts = [a.kind + (" (warning)" if a.severity == "warning" else "") for a in self._alerts()]
        changes = [i for i in range(1, len(self._versions)) if self._versions[i] != self._versions[i - 1]]
        return LoopResult(
            wrong,
            retrained_at=sorted(self._retrained_at.values()),
            promoted_at=[self.begin + i for i in changes],
            alerts={kind: alerts.count(kind) for kind in sorted(set(alerts))},
            causes=[t.cause for t in self._triggers() if t.submission_id is not None],
        )

    def facts(self) -> dict[str, Any]:
        """What else there is to tell, of the cluster."""
        return {
            "requests": len(self._scores),
            "versions_that_answered": len(set(self._versions)),
            "stood_still_s": [round(seconds, 1) for seconds in self._still_s],
            "triggers": {t.id: f"{t.cause}: {t.state}: {t.reason}"[:200] for t in self._triggers()},
            "audit_verified": self._store.verify().verified,
        }

    def frozen_accuracy(self) -> float:
        """Of the first champion, had it answered everything."""
        bundle = load_bundle(self._store.model_version(self.spec.name, 1).bundle_uri)
        scores = answers_of(bundle, self.stream, self.begin, len(self.stream))
        return float(np.mean((scores >= 0.5) == (self.stream.labels[self.begin :] == 1)))

    def _ask(self, row: int) -> None:
        record = {name: values[row] for name, values in self._columns.items()}
        body = {"records": [record], "request_id": f"row-{row}", "unit": f"day-{row // DAY_ROWS:05d}"}
        answer = self._post("predict", body)
        self._scores.append(float(answer["predictions"][0]["score"]))
        self._versions.append(str(answer["model_version"]))

    def _label(self, begin: int, end: int) -> None:
        labels = [{"request_id": f"row-{row}", "label": int(self.stream.labels[row])} for row in range(begin, end)]
        if labels:
            self._post("labels", {"labels": labels})

    def _post(self, verb: str, body: Any) -> Any:
        """The answer, asked again after 503 as every client of the service is asked to do."""
        for wait_s in _BACKOFF_S:
            response = self._session.post(f"{self._url}/{verb}", json=body, timeout=30)
            if response.status_code != 503 or wait_s is None:
                break
            time.sleep(wait_s)
        response.raise_for_status()
        return response.json()

    def _stand_still(self, row: int) -> None:
        """Wait for a retraining that was begun, and for its delivery."""
        began_s = time.monotonic()
        while self._under_way(row):
            if time.monotonic() - began_s > _LONGEST_S:
                raise TimeoutError(f"{self.spec.name}: a retraining did not end in {_LONGEST_S:g} s")
            time.sleep(0.2)
        if (seconds := time.monotonic() - began_s) > 1.0:
            self._still_s.append(seconds)
            done = [t for t in self._triggers() if t.submission_id is not None][-1]
            self.progress(f"row {row}: {done.cause}: {done.state}; stood still {seconds:.1f} s")

    def _under_way(self, row: int) -> bool:
        """Whether a training runs, is about to, or its version is on its way to the users."""
        submitted = [t for t in self._triggers() if t.submission_id is not None]
        for trigger in submitted:
            self._retrained_at.setdefault(trigger.id, row)
        running = any(t.state == "submitted" for t in submitted)
        return running or bool(self._store.rollouts(self.spec.name, active_only=True))

    def _triggers(self) -> list[TriggerRecord]:
        return sorted(self._store.triggers(self.spec.name), key=lambda t: t.created_s)

    def _alerts(self) -> list[Any]:
        return list(self._store.alerts(self.spec.name))


def _table(stream: Stream, begin: int) -> pa.Table:
    """The first rows as an upstream system would write them: days by name, times with their zone."""
    table = stream.labelled(begin)
    days = pa.array([f"day-{day:05d}" for day in table["day"].to_pylist()])
    times = table["at"].cast(pa.timestamp("us", tz="UTC"))
    return table.set_column(0, "day", days).set_column(1, "at", times)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    parser.add_argument("--output", type=Path, help="write the result to this file too")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "electricity" / "elec.csv")
    parser.add_argument("--days", type=int, help="only so many days; all by default")
    parser.add_argument("--first-days", type=int, default=60, help="days that the first champion is trained on")
    parser.add_argument("--day-s", type=float, default=1.0, help="how long a day of the stream lasts")
    return parser.parse_args(arguments)


def run(home: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Start a cluster in `home`, ask both streams side by side, end the cluster; the numbers."""
    stream, begin = read_electricity(options.data), options.first_days * DAY_ROWS
    if options.days is not None:
        stream = stream.first(options.days * DAY_ROWS)
    streams = {"electricity": stream, "drifting": drifting_features(stream, seed=0)}
    cluster = LocalCluster(Workspace.at(home))
    try:
        workspace = cluster.up(Ports.free(), cpus=6, mlflow_ui=False, progress=_say)
        served = {
            name: ServedStream(
                served_spec(content, name, home / "landing" / name, day_s=options.day_s),
                content,
                workspace,
                begin,
                options.day_s,
                progress=lambda text, name=name: _say(f"{name}: {text}"),  # type: ignore[misc]
            )
            for name, content in streams.items()
        }
        for model in served.values():
            model.first_champion()
        with ThreadPoolExecutor(len(served)) as pool:
            list(pool.map(ServedStream.live, served.values()))
        real, steady = served["electricity"], served["drifting"]
        loop = real.result()
        schedules = schedules_of(spec_of(stream), stream, begin=begin, count=len(loop.retrained_at))
        return {
            "rows": len(stream),
            "first_champion_rows": begin,
            "day_s": options.day_s,
            "electricity": comparison(loop, real.frozen_accuracy(), schedules) | real.facts(),
            "drifting_features": numbers_of(steady.result())
            | {"frozen_accuracy": round(steady.frozen_accuracy(), 4)}
            | steady.facts(),
        }
    finally:
        cluster.down()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, and write the result where asked."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options = parse(arguments)
    machine, started_s = describe_machine(), time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="mlops-ray-electricity-"))
    result: dict[str, Any] = {"benchmark": "electricity_served", "machine": machine}
    result |= {"versions": describe_versions(*_PACKAGES)} | run(home, options)
    result["wall_s"] = round(time.monotonic() - started_s, 1)
    shutil.rmtree(home, ignore_errors=True)
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    real, calm = result["electricity"], result["drifting_features"]
    print(
        f"loop {real['loop']['accuracy']:.4f} with {real['loop']['retrainings']} retrainings, frozen "
        f"{real['frozen_accuracy']:.4f}, schedules {real['schedule_accuracies']}\n"
        f"drifting features: {calm['accuracy']:.4f}, {calm['retrainings']} retrainings, alerts {calm['alerts']}"
    )
    if options.json:
        print(json.dumps(result))


def _say(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
