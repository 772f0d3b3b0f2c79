"""Outcomes joined to what was answered, file by file: each file of records and of labels is read when it is new.

Of the answers a version gave a key, the time and the score are kept; whole rows of those whose outcome is known. A
file is read again when labels for its rows come. A model's own answer never becomes a label: labels are what was sent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_ray.monitor.reference import Watched
from mlops_ray.monitor.unit_set import Hashes, hashes_of
from mlops_ray.records import LABELS, RecordLog, newest_labels, not_kept
from mlops_ray.spec import Task

__all__ = ["FEATURE", "AnsweredRows", "Run", "in_process"]

FEATURE = "feature:"
"""What the names of columns with encoded features begin with."""

Run = Callable[..., Any]
"""Runs a function with arguments, here or elsewhere, and gives its result."""

_KEYS = ["request_id", "row"]
_COLUMNS = [*_KEYS, "time_s", "version", "assigned", "score"]
_USERS = ["champion", "canary"]  # neither copies nor requests that asked for a version
_MOST_WAITING = 1_000_000


def in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function here."""
    return function(*arguments)


@dataclass(frozen=True)
class _Answers:
    """The answers of one file that count."""

    keys: Hashes
    times: NDArray[np.float64]
    scores: NDArray[np.float64]


@dataclass
class AnsweredRows:
    """The rows of one version with their outcomes, as of the newest `look`; belongs to one thread."""

    log: RecordLog
    version: int
    task: Task
    watched: Watched | None = None
    """Needed for features only."""
    run: Run = in_process
    _answers: dict[str, _Answers] = field(default_factory=dict)
    _joined: dict[str, pa.Table] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set)
    _waiting: pa.Table | None = None

    def look(self, since_s: float) -> None:
        """Take in what is new about answers at or after `since_s`, and let go of what is older."""
        served = self.log.served_files(since_s)
        listed = set(served)
        self._answers = {path: known for path, known in self._answers.items() if path in listed}
        self._joined = {path: rows for path, rows in self._joined.items() if path in self._answers}
        new = [path for path in served if path not in self._answers]
        if new:
            self._answers.update(self.run(_answers_of, self.log, new, self.version))
        labels = self._new_labels(since_s)
        if not labels.num_rows:
            return
        keys = _keys_of(labels)
        wanted = self._wanted(labels, keys)
        if wanted:
            found = self.run(_joined_of, self.log, (self.version, self.task, self.watched), wanted)
            for path, rows in found.items():
                known = self._joined.get(path)
                self._joined[path] = rows if known is None else newest_labels(pa.concat_tables([known, rows]))

    def rows(self, since_s: float) -> pa.Table:
        """Answers at or after `since_s` with an outcome, in the order of their time, request and row.

        Columns request_id, row, time_s, score, label and received_s; of several classes `scores`, and one for each
        feature that the records hold, named `feature:NAME`.
        """
        tables = [table for table in self._joined.values() if table.num_rows]
        if not tables:
            return _nothing(self.task)
        rows = pa.concat_tables(tables, promote_options="default")
        return rows.filter(pc.field("time_s") >= since_s).sort_by(
            [("time_s", "ascending"), ("request_id", "ascending"), ("row", "ascending")]
        )

    def answers(self, since_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Times and scores (n,) of all answers at or after `since_s`, with an outcome or without, oldest first."""
        if not self._answers:
            return np.empty(0), np.empty(0)
        times = np.concatenate([answers.times for answers in self._answers.values()])
        scores = np.concatenate([answers.scores for answers in self._answers.values()])
        order = np.argsort(times, kind="stable")
        order = order[np.searchsorted(times[order], since_s) :]
        return times[order], scores[order]

    def waiting(self) -> int:
        """Outcomes whose answer is not in the records, or not yet."""
        return 0 if self._waiting is None else self._waiting.num_rows

    def _new_labels(self, since_s: float) -> pa.Table:
        """Outcomes that came since the look before, and those that waited for a record that may be there now."""
        paths = self.log.label_files(since_s)
        tables = [self.log.labels_in(path) for path in paths if path not in self._read]
        self._read = set(paths)
        waiting = [self._waiting] if self._waiting is not None else []
        labels = newest_labels(pa.concat_tables([*waiting, *tables])) if waiting or tables else LABELS.empty_table()
        labels = labels.filter(pc.field("received_s") >= since_s)
        if self.task == "binary":  # a stray outcome must not hide what the others say
            labels = labels.filter(pc.field("label").isin([0.0, 1.0]))
        return labels.filter(pc.is_finite(labels["label"]))

    def _wanted(self, labels: pa.Table, keys: Hashes) -> dict[str, pa.Table]:
        """By file, the labels of its answers; those of no file go on waiting."""
        order = np.argsort(keys, kind="stable")
        ordered, matched, wanted = keys[order], np.zeros(len(keys), dtype=bool), {}
        for path, answers in self._answers.items():
            if not len(answers.keys):
                continue
            places = np.minimum(np.searchsorted(ordered, answers.keys), len(ordered) - 1)
            hits = order[places[ordered[places] == answers.keys]]
            if len(hits):
                matched[hits] = True
                wanted[path] = labels.take(pa.array(np.unique(hits)))
        rest = labels.filter(pa.array(~matched)).sort_by("received_s")
        self._waiting = rest.slice(max(0, rest.num_rows - _MOST_WAITING))
        return wanted


def _answers_of(log: RecordLog, paths: Sequence[str], version: int) -> dict[str, _Answers]:
    found = {}
    for path in paths:
        rows = _answered(log.served_in(path, _COLUMNS), version)
        found[path] = _Answers(_keys_of(rows), rows["time_s"].to_numpy(), rows["score"].to_numpy())
    return found


_Whose = tuple[int, Task, Watched | None]


def _joined_of(log: RecordLog, whose: _Whose, wanted: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """By file, the rows that have one of the wanted labels."""
    return {path: _join(log.served_in(path), whose, labels) for path, labels in wanted.items()}


def _join(whole: pa.Table, whose: _Whose, labels: pa.Table) -> pa.Table:
    version, task, watched = whose
    served = _answered(_with_columns(whole, task), version)
    places = pa.array(np.arange(served.num_rows))
    # a join takes no lists and no structs
    found = served.select(_KEYS).append_column("place", places).join(labels, keys=_KEYS, join_type="inner")
    found = found.sort_by("place")
    rows = served.take(found["place"])
    joined = rows.select([*_KEYS, "time_s", "score"])
    joined = joined.append_column("label", found["label"]).append_column("received_s", found["received_s"])
    if task == "multiclass":
        joined = joined.append_column("scores", rows["scores"])
    return joined if watched is None else _with_features(joined, rows, watched, not_kept(whole.schema))


def _with_features(joined: pa.Table, rows: pa.Table, watched: Watched, hidden: frozenset[str]) -> pa.Table:
    """Encoded features beside the rows; those that are not in the records are left out."""
    if "features" not in rows.column_names or not rows.num_rows or hidden & set(watched.signature.names):
        return joined
    matrix = watched.numbers(pa.Table.from_struct_array(rows["features"].combine_chunks()))
    for i, column in enumerate(watched.signature.columns()):
        joined = joined.append_column(f"{FEATURE}{column.name}", pa.array(matrix[:, i]))
    return joined


def _with_columns(table: pa.Table, task: Task) -> pa.Table:
    """A file from before classes were kept has no probabilities."""
    if task == "multiclass" and "scores" not in table.column_names:
        return table.append_column("scores", pa.nulls(table.num_rows, pa.list_(pa.float32())))
    return table


def _answered(rows: pa.Table, version: int) -> pa.Table:
    ours = (pc.field("version") == version) & pc.field("score").is_valid() & pc.field("assigned").isin(_USERS)
    return rows.filter(ours)


def _keys_of(rows: pa.Table) -> Hashes:
    requests, numbers = rows["request_id"].to_pylist(), rows["row"].to_pylist()
    return hashes_of(f"{number}\0{request}" for request, number in zip(requests, numbers, strict=True))


def _nothing(task: Task) -> pa.Table:
    kinds = [pa.string(), pa.int32(), pa.float64(), pa.float64(), pa.float64(), pa.float64()]
    names = ["request_id", "row", "time_s", "score", "label", "received_s"]
    if task == "multiclass":
        names, kinds = [*names, "scores"], [*kinds, pa.list_(pa.float32())]
    return pa.schema(list(zip(names, kinds, strict=True))).empty_table()
