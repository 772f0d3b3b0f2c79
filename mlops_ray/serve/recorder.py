"""What a replica remembers of the requests it answered, until it hands them to the drift actor."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlops_ray import drift
from mlops_ray.model import Signature
from mlops_ray.records import served_schema
from mlops_ray.serve.captured import Captured
from mlops_ray.serve.class_scores import class_columns, condensed
from mlops_ray.serve.handover import Handover
from mlops_ray.serve.loaded import LoadedModel
from mlops_ray.serve.seen_pictures import SeenPictures
from mlops_ray.serve.unseen_counts import Unseen, sketches_of
from mlops_ray.spec import Capture

__all__ = ["Recorder", "Served", "Traffic"]

_HOUR_S = 3600
_BULK_ROOM = 0.5
_AT_ONCE = 512  # requests
_AT_ONCE_NUMBERS = 64 * 1024
_UNSEEN = 20_000  # values between two hand-overs


class Served(msgspec.Struct, frozen=True, gc=False):
    """One answered request; `matrix` (n, d) and `scores` are the model's own arrays, not copies.

    Scores are (n,), or (n, classes) of a multiclass model, and there (n,) of NaN where there are none.

    `encoded_by` is the version whose signature made the matrix: the champion at that moment. Thousands of these wait
    for the next hand-over: a struct without garbage collection is made in a fifth of a dataclass's time, and the
    collector does not walk over it again and again.
    """

    request_id: str
    unit: str
    time_s: float
    version: int
    role: str
    assigned: str
    canary: int
    epoch: int
    status: int
    error: str | None
    latency_ms: float
    matrix: NDArray[np.float64]
    scores: NDArray[np.float64]
    encoded_by: LoadedModel
    share: float = 0.0
    queue_ms: float = 0.0
    predict_ms: float = 0.0
    paired_scores: NDArray[np.float64] | None = None
    to_pair: bool = False
    """Whether the champion is to score the rows, too, before the records are handed over."""
    trace: bytes | None = None
    """The client's `traceparent`."""
    seen: SeenPictures | None = None
    """In the place of the matrix, where that is made of pictures."""
    unseen: Unseen = ()

    @property
    def nbytes(self) -> int:
        """Memory that it takes, about."""
        size = self.matrix.nbytes + (self.scores.nbytes if self.scores.ndim == 2 else 0)
        return size if self.seen is None else size + self.seen.nbytes

    def without_rows(self) -> "Served":
        """The same for counting it only: how many rows there are, and nothing in them."""
        nothing = self.matrix[:0, :0].copy()
        return msgspec.structs.replace(
            self, matrix=nothing, scores=np.broadcast_to(np.nan, len(self.scores)), seen=None, paired_scores=None
        )

    def without_pixels(self) -> "Served":
        """The same in a thousandth of the memory."""
        return msgspec.structs.replace(self, matrix=self.matrix[:, :0].copy(), to_pair=False)


class Traffic(Protocol):
    """Whoever counts what is served."""

    def seen(self, served: Served) -> None:
        """One request of which no record is kept."""
        ...

    def let_go(self, batch: Sequence[Served]) -> None:
        """Requests whose records are on their way."""
        ...


class Recorder:
    """Bounded memory of served requests; what does not fit is dropped and counted, never waited for."""

    def __init__(
        self,
        replica: str,
        *,
        captured: Captured | None = None,
        traffic: Traffic | None = None,
        capacity_rows: int = 200_000,
        capacity_bytes: int = 128 * 2**20,
    ) -> None:
        self._replica = replica
        self._captured = captured or Captured(Capture(), replica)
        self._traffic = traffic
        self._capacity_rows = capacity_rows
        self._capacity_bytes = capacity_bytes
        self._served: list[Served] = []
        self._rows = 0
        self._bytes = 0
        self._unseen = 0
        self._numbers = itertools.count()
        self.dropped_rows = 0
        self.dropped_copies = 0
        self._reported = (0, 0)

    def add(self, served: Served) -> None:
        """Remember one request, unless the spec says that none is kept."""
        if not self._captured.enabled:
            self._unrecorded(served)
            return
        # Bulk requests by version are no part of any rollout: they never take the room of those that are.
        room = _BULK_ROOM if served.assigned == "direct" else 1.0
        rows, capacity_bytes = len(served.scores), room * self._capacity_bytes - self._bytes
        if served.seen is not None and not (served.to_pair and served.nbytes <= capacity_bytes / 2):
            served = served.without_pixels()
        if served.unseen:
            served = self._bounded(served)
        size = served.matrix.nbytes if served.seen is None and served.scores.ndim == 1 else served.nbytes
        if self._rows + rows > room * self._capacity_rows or size > capacity_bytes:
            self.dropped_rows += rows
            self._unrecorded(served)
            return
        self._served.append(served)
        self._rows += rows
        self._bytes += size

    def _bounded(self, served: Served) -> Served:
        """Without values that nobody knew, once there are enough of them: an id in the place of a category has many."""
        self._unseen += sum(len(counts) for _, counts in served.unseen)
        return served if self._unseen <= _UNSEEN else msgspec.structs.replace(served, unseen=())

    def __len__(self) -> int:
        """Requests remembered now."""
        return len(self._served)

    def _unrecorded(self, served: Served) -> None:
        if self._traffic is not None:
            self._traffic.seen(served)

    def take(self) -> list[Served]:
        """Everything remembered so far; the memory is empty afterwards."""
        taken, self._served = self._served, []
        self._rows = self._bytes = self._unseen = 0
        if self._traffic is not None:
            self._traffic.let_go(taken)
        return taken

    def handovers(self, served: Sequence[Served], *, pause: Callable[[], None] = lambda: None) -> list[Handover]:
        """Columnar records of `served`, and the profile of what the champion answered: one for each champion they met.

        An hour after a failure to deliver, the records of two hours make two: a file of records lies in one hour.
        Pure work: safe on any thread. `pause` is called after each few milliseconds of it, for the sake of others.
        """
        batches: dict[tuple[int, int], list[Served]] = {}
        for one in served:
            batches.setdefault((one.encoded_by.version, int(one.time_s // _HOUR_S)), []).append(one)
        return [self._handover(version, batch, pause) for (version, _), batch in batches.items()]

    def _handover(self, version: int, served: Sequence[Served], pause: Callable[[], None]) -> Handover:
        bundle = served[0].encoded_by.bundle
        profile, tables = drift.empty(bundle.reference), list[pa.Table]()
        for part in _parts(served):
            profile = drift.merge(profile, _profile(part, bundle.signature, bundle.reference))
            tables.append(_table(part, bundle.signature, self._captured))
            pause()
        dropped, copies = self._newly_dropped()
        return Handover(
            name=f"{self._replica}-{next(self._numbers):08d}",
            time_s=served[0].time_s,
            version=version,
            records=pa.concat_tables(tables).combine_chunks(),
            profile=profile.to_bytes(),
            unseen=sketches_of((s.unseen for s in _own(served)), without=self._captured.not_kept(bundle.signature)),
            dropped=dropped,
            dropped_copies=copies,
        )

    def _newly_dropped(self) -> tuple[int, int]:
        now, before = (self.dropped_rows, self.dropped_copies), self._reported
        self._reported = now
        return now[0] - before[0], now[1] - before[1]


def _parts(served: Sequence[Served]) -> Iterator[list[Served]]:
    """In order; a part is many small requests or a large one."""
    part, numbers = list[Served](), 0
    for one in served:
        size = one.matrix.size if one.seen is None else one.seen.statistics.size
        size += one.scores.size if one.scores.ndim == 2 else 0
        if part and (len(part) == _AT_ONCE or numbers + size > _AT_ONCE_NUMBERS):
            yield part
            part, numbers = [], 0
        part.append(one)
        numbers += size
    yield part


def _own(served: Sequence[Served]) -> list[Served]:
    """Those that fell back or went to a canary would bend the predictions, and units are split at random."""
    return [s for s in served if s.role == "champion" and s.assigned != "canary" and s.status == 200]


def _profile(served: Sequence[Served], signature: Signature, reference: drift.ReferenceProfile) -> drift.Profile:
    own = _own(served)
    if not own:
        return drift.empty(reference)
    features = _numbers(own, signature)
    scores = condensed(signature, [s.scores for s in own])
    times_s = np.repeat([s.time_s for s in own], [len(s.scores) for s in own])
    return drift.fold(reference, np.column_stack((features, scores)), times_s)


def _table(served: Sequence[Served], signature: Signature, captured: Captured) -> pa.Table:
    scores = [s.scores for s in served]
    # Most often each request has one row, and then its facts are those of the row: less work beside the requests.
    counts = [len(s.scores) for s in served]
    single = set(counts) == {1}

    def repeat(values: Sequence[Any], dtype: Any) -> Any:
        return values if single else np.repeat(np.array(values, dtype=dtype), counts)

    features = _features(served, signature, captured)
    confidence, of_classes = class_columns(signature, scores)
    request_ids = [s.request_id for s in served]
    row = np.concatenate([np.arange(n) for n in counts]) if not single else np.zeros(len(counts), np.int64)
    columns: list[Any] = [
        repeat(request_ids, object),
        row,
        repeat(captured.units([s.unit for s in served], request_ids), object),
        repeat([s.time_s for s in served], np.float64),
        repeat([s.version for s in served], np.int64),
        repeat([s.role for s in served], object),
        repeat([s.assigned for s in served], object),
        repeat([s.canary for s in served], np.int64),
        repeat([s.epoch for s in served], np.int64),
        repeat([s.share for s in served], np.float64),
        repeat([s.status for s in served], np.int16),
        repeat([s.error for s in served], object),
        repeat([s.latency_ms for s in served], np.float64),
        repeat([s.queue_ms for s in served], np.float64),
        repeat([s.predict_ms for s in served], np.float64),
        pa.array(condensed(signature, scores), from_pandas=True),
        pa.array(_paired(served, signature, sum(counts)), from_pandas=True),
        confidence,
        of_classes,
        features,
    ]
    schema = served_schema(features.type, captured.not_kept(signature))
    arrays = [c if isinstance(c, pa.Array) else pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _numbers(served: Sequence[Served], signature: Signature) -> NDArray[np.float64]:
    """What the profile counts of the rows (n, columns)."""
    if signature.image is None:
        return np.concatenate([s.matrix for s in served])
    return np.concatenate([s.seen.statistics for s in served if s.seen is not None])


def _features(served: Sequence[Served], signature: Signature, captured: Captured) -> pa.StructArray:
    numbers = _numbers(served, signature)
    if signature.image is None:
        return captured.features(signature, numbers)
    return captured.pictures(signature, numbers, [d for s in served if s.seen is not None for d in s.seen.digests])


def _paired(served: Sequence[Served], signature: Signature, rows: int) -> NDArray[np.float64]:
    if all(one.paired_scores is None for one in served):
        return np.full(rows, np.nan)
    return np.concatenate(
        [
            np.full(len(s.scores), np.nan) if s.paired_scores is None else signature.condensed(s.paired_scores)
            for s in served
        ]
    )
