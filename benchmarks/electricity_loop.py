"""The loop of benchmarks/electricity.py: a champion answers by days, labels come a day later, alerts start retrainings.

Monitor, records, store, alerts, triggers and guards are the package's own; the clock is that of the rows.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.electricity_stream import DAY_ROWS, HALF_HOUR_S, START_S, Stream
from benchmarks.electricity_training import Trained, train_version
from mlops_ray.control.retraining import JobState, Retraining
from mlops_ray.drift import fold
from mlops_ray.model import Bundle, encode
from mlops_ray.monitor import ModelMonitor
from mlops_ray.records import LABELS, served_schema
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import Event, ModelRecord, Stage, Store
from mlops_ray.verdict import Verdict

__all__ = ["LoopResult", "answers_of", "run_loop", "run_schedule"]

Floats = NDArray[np.float64]


@dataclass
class LoopResult:
    """What happened."""

    wrong: NDArray[np.bool_]
    """Whether each answer was, from the first answered row on."""
    retrained_at: list[int] = field(default_factory=list)
    """Rows at which a training was started."""
    promoted_at: list[int] = field(default_factory=list)
    alerts: dict[str, int] = field(default_factory=dict)
    """By kind, how many were raised."""
    causes: list[str] = field(default_factory=list)

    @property
    def accuracy(self) -> float:
        """Over all answers."""
        return 1.0 - float(self.wrong.mean())


def answers_of(bundle: Bundle, stream: Stream, begin: int, end: int) -> Floats:
    """Scores of rows from `begin` up to `end`."""
    return bundle.predict(encode(bundle.signature, stream.part(begin, end)))


def run_schedule(spec: ModelSpec, stream: Stream, *, begin: int, retrain_at: list[int]) -> LoopResult:
    """Answer from `begin` on, and retrain at these rows on what is labelled by then; whatever comes of it is served."""
    with tempfile.TemporaryDirectory() as name:
        folder, scores = Path(name), []
        bundle = train_version(spec, stream.labelled(begin), folder, version=1, champion=None, now_s=0.0).bundle
        borders = [begin, *retrain_at, len(stream)]
        for i, (start, end) in enumerate(pairwise(borders)):
            if i:
                rows = stream.labelled(start - DAY_ROWS)
                bundle = train_version(spec, rows, folder, version=i + 1, champion=None, now_s=0.0).bundle
            scores.append(answers_of(bundle, stream, start, end))
    wrong = (np.concatenate(scores) >= 0.5) != (stream.labels[begin:] == 1)
    return LoopResult(wrong, retrained_at=list(retrain_at), promoted_at=list(retrain_at))


def run_loop(
    spec: ModelSpec, stream: Stream, *, begin: int, progress: Callable[[str], None] = lambda _text: None
) -> LoopResult:
    """Answer from `begin` on, and retrain when the loop says so."""
    with tempfile.TemporaryDirectory() as name:
        world = _World(spec, stream, Path(name), begin, progress)
        for day in range(begin, len(stream), DAY_ROWS):
            world.live(day)
        return world.result()


class _World:
    """One model in its place; `place` is the row that is answered next, and so the time."""

    def __init__(
        self, spec: ModelSpec, stream: Stream, folder: Path, begin: int, progress: Callable[[str], None]
    ) -> None:
        self._spec, self._stream, self._folder, self._progress = spec, stream, folder, progress
        self._place = self._begin = begin
        self._scores: list[Floats] = []
        self._found = LoopResult(np.empty(0, dtype=bool))
        self._states: dict[str, tuple[JobState, str]] = {}
        workspace = Workspace.at(folder / "home", lake=str(folder / "lake"))
        self._store = Store(workspace.store)
        self._store.create()
        with self._store.change(Event("model.registered", spec.name, {}, "benchmark", self.now_s)) as change:
            change.put_model(ModelRecord(spec.name, spec.model_dump_json(), self.now_s))
        self._versions = 0
        first = self._train(stream.labelled(begin))
        self._promote(first)
        self._monitor = ModelMonitor(spec, workspace, self._store, now_s=self.now_s, sinks=[])
        self._retraining = Retraining(self._store, self, clock=lambda: self.now_s)

    @property
    def now_s(self) -> float:
        """The time at which the next row is answered."""
        return START_S + self._place * HALF_HOUR_S

    def live(self, begin: int) -> None:
        """A day: its rows are answered, the labels of the day before come, and the loop looks once."""
        end = min(begin + DAY_ROWS, len(self._stream))
        self._monitor.follow(self.now_s)
        self._answer(begin, end)
        self._place = end
        self._label(begin - DAY_ROWS, begin)
        self._monitor.follow(self.now_s)
        judge = self._monitor.judge(self.now_s)
        if judge is not None:
            self._monitor.weigh(judge, judge.measure(self.now_s), self.now_s)
        self._retraining.tick(self._spec)

    def result(self) -> LoopResult:
        """All of it."""
        scores = np.concatenate(self._scores)
        wrong = (scores >= 0.5) != (self._stream.labels[self._begin :] == 1)
        kinds = [alert.kind + ("" if alert.severity != "warning" else " (warning)") for alert in self._alerts()]
        counts = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
        self._monitor.close()
        causes = [t.cause for t in self._store.triggers(self._spec.name) if t.submission_id is not None]
        return replace(self._found, wrong=wrong, alerts=counts, causes=causes)

    # -- Jobs: a retraining is done at once ------------------------------------------------------------------------

    def submit(self, submission_id: str, *, model: str, trigger: str) -> None:
        """Train on every row whose label has come, and promote what passes its gates."""
        if submission_id in self._states:
            return
        self._found.retrained_at.append(self._place)
        trained = self._train(self._stream.labelled(self._place - DAY_ROWS))
        message = "; ".join(result.message for result in trained.report.results)
        if trained.record.verdict == Verdict.PASS:
            self._promote(trained)
            self._found.promoted_at.append(self._place)
        cause = self._store.trigger(trigger).evidence["message"]
        self._progress(f"row {self._place}: {model}: {cause[:150]} -> {trained.record.verdict}: {message}")
        self._states[submission_id] = "succeeded", message

    def state(self, submission_id: str) -> tuple[JobState, str]:
        """What came of it."""
        return self._states.get(submission_id, ("unknown", ""))

    # -- a day -----------------------------------------------------------------------------------------------------

    def _answer(self, begin: int, end: int) -> None:
        features = self._stream.part(begin, end)
        matrix = encode(self._bundle.signature, features)
        scores = self._bundle.predict(matrix)
        self._scores.append(scores)
        profile = fold(self._bundle.reference, np.column_stack((matrix, scores)))
        handover = {
            "name": f"replica-{begin:08d}",
            "time_s": START_S + begin * HALF_HOUR_S,
            "version": self._versions_served,
            "records": self._records(begin, scores, features),
            "profile": profile.to_bytes(),
        }
        self._monitor.receive(handover)

    def _records(self, begin: int, scores: Floats, features: pa.Table) -> pa.Table:
        count = len(scores)
        struct = features.to_struct_array().combine_chunks()
        schema = served_schema(struct.type)
        values: dict[str, Any] = {
            "request_id": [f"row-{begin + i}" for i in range(count)],
            "row": [0] * count,
            "time_s": START_S + HALF_HOUR_S * np.arange(begin, begin + count),
            "version": [self._versions_served] * count,
            "role": ["champion"] * count,
            "assigned": ["champion"] * count,
            "canary": [0] * count,
            "epoch": [1] * count,
            "status": [200] * count,
            "score": scores,
            "features": struct,
        }
        columns = [pa.array(values[f.name], f.type) if f.name in values else pa.nulls(count, f.type) for f in schema]
        return pa.Table.from_arrays(columns, schema=schema)

    def _label(self, begin: int, end: int) -> None:
        if begin < self._begin:
            return
        values = [
            {"request_id": f"row-{i}", "row": 0, "label": float(self._stream.labels[i]), "received_s": 0.0}
            for i in range(begin, end)
        ]
        self._monitor.keep_labels(f"labels-{begin:08d}", pa.Table.from_pylist(values, schema=LABELS), self.now_s)

    def _alerts(self) -> list[Any]:
        return list(self._store.alerts(self._spec.name))

    def _train(self, rows: pa.Table) -> Trained:
        self._versions += 1
        champion = self._bundle if self._versions > 1 else None
        return train_version(
            self._spec, rows, self._folder, version=self._versions, champion=champion, now_s=self.now_s
        )

    def _promote(self, trained: Trained) -> None:
        """The delivery is left out: shares and canaries are of another benchmark."""
        record = replace(trained.record, stage=Stage.CHAMPION)
        event = Event("model_version.created", f"{record.model}@{record.version}", {}, "benchmark", self.now_s)
        with self._store.change(event) as change:
            change.put_model_version(record)
        self._bundle, self._versions_served = trained.bundle, record.version
