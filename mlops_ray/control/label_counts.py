"""How much there is to learn from: labelled rows, and answers whose labels had time to come."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_ray.data.hashing import Hashes, combined, hash_numbers, hash_texts
from mlops_ray.lake import Lake
from mlops_ray.records import RecordLog

__all__ = ["LabelCounts", "RecordCounts"]

_EVERY_S = 10.0
_SLICE_S = 10.0


class LabelCounts(Protocol):
    """What the guards and the trigger `labels` want to know of the records."""

    def labelled(self, model: str, since_s: float) -> int | None:
        """Rows whose label came at or after `since_s`, each once however often corrected; None: not known yet."""
        ...

    def maturity(self, model: str, since_s: float, matured_s: float) -> float | None:
        """Share of the answers since `since_s` that are not younger than `matured_s`; None: not known yet, or none."""
        ...


@dataclass
class _Counted:
    """What was read already of one model since one moment."""

    since_s: float
    seen: set[str] = field(default_factory=set)  # files
    keys: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))  # of rows, sorted
    fresh: list[Hashes] = field(default_factory=list)  # of rows, not among the keys yet
    times: list[tuple[float, float, int]] = field(default_factory=list)  # first, last and number of each served file
    looked_s: float = -float("inf")
    whole: bool = False


class RecordCounts:
    """See `LabelCounts`; reads each file of records once, in slices of some seconds, and keeps 8 bytes a labelled row.

    Two rows with the same 64-bit hash count once: of ten million rows about 3 in a million such pairs are expected.
    """

    def __init__(self, lake: Lake, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lake = lake
        self._clock = clock
        self._labels: dict[tuple[str, float], _Counted] = {}
        self._served: dict[tuple[str, float], _Counted] = {}

    def labelled(self, model: str, since_s: float) -> int | None:
        """See `LabelCounts.labelled`."""
        counted = self._of(self._labels, model, since_s)
        log = RecordLog(self._lake, model)
        self._look(counted, lambda: log.label_files(since_s), lambda path: _take_labels(counted, log, path))
        if not counted.whole:
            return None
        if counted.fresh:
            counted.keys, counted.fresh = np.unique(np.concatenate([counted.keys, *counted.fresh])), []
        return len(counted.keys)

    def maturity(self, model: str, since_s: float, matured_s: float) -> float | None:
        """See `LabelCounts.maturity`; of a file whose answers are partly older a share by its first and last time."""
        counted = self._of(self._served, model, since_s)
        log = RecordLog(self._lake, model)
        self._look(counted, lambda: log.served_files(since_s), lambda path: _take_served(counted, log, path))
        total = sum(rows for _, _, rows in counted.times)
        if not counted.whole or not total:
            return None
        mature = sum(rows * _share_before(first, last, matured_s) for first, last, rows in counted.times)
        return float(mature / total)

    def _of(self, counts: dict[tuple[str, float], _Counted], model: str, since_s: float) -> _Counted:
        if (model, since_s) not in counts:
            # Since the champion and since the last retraining: older beginnings are asked for no more.
            for old in sorted(key for key in counts if key[0] == model)[:-1]:
                del counts[old]
            counts[model, since_s] = _Counted(since_s)
        return counts[model, since_s]

    def _look(self, counted: _Counted, listed: Callable[[], list[str]], take: Callable[[str], None]) -> None:
        """Take in files that are new, for a few seconds at most: the control loop has other things to do."""
        began_s = self._clock()
        if counted.whole and began_s - counted.looked_s < _EVERY_S:
            return
        new = [path for path in listed() if path not in counted.seen]
        for path in new:
            if self._clock() - began_s > _SLICE_S:
                return
            take(path)
            counted.seen.add(path)
        counted.whole, counted.looked_s = True, self._clock()


def _take_labels(counted: _Counted, log: RecordLog, path: str) -> None:
    table = log.labels_in(path).filter(pc.field("received_s") >= counted.since_s).combine_chunks()
    if table.num_rows:
        counted.fresh.append(_keys(table))


def _take_served(counted: _Counted, log: RecordLog, path: str) -> None:
    answered = pc.field("assigned").isin(["champion", "canary"]) & (pc.field("time_s") >= counted.since_s)
    times = log.served_in(path, ["assigned", "time_s"]).filter(answered)["time_s"]
    if len(times):
        bounds = pc.min_max(times).as_py()
        counted.times.append((bounds["min"], bounds["max"], len(times)))


def _keys(table: pa.Table) -> Hashes:
    ids = table["request_id"].combine_chunks().dictionary_encode()
    hashes = hash_texts(ids.dictionary)[ids.indices.to_numpy()]
    return combined((hashes, hash_numbers(table["row"].combine_chunks())))


def _share_before(first: float, last: float, at_s: float) -> float:
    if last <= at_s:
        return 1.0
    return 0.0 if first > at_s else (at_s - first) / (last - first)
