"""What a replica remembers of the requests it answered, until it hands them to the drift actor."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlops_ray import drift
from mlops_ray.model import InputColumn, Signature
from mlops_ray.records import served_schema
from mlops_ray.serve.loaded import LoadedModel

__all__ = ["Handover", "Recorder", "Served"]

UNSEEN = "<unseen>"
_HOUR_S = 3600


class Served(msgspec.Struct, frozen=True, gc=False):
    """One answered request; `matrix` (n, d) and `scores` (n,) are the model's own arrays, not copies.

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


@dataclass(frozen=True)
class Handover:
    """A batch on its way to the drift actor; `name` makes a repeated delivery recognisable."""

    name: str
    time_s: float
    version: int
    records: pa.Table
    profile: bytes


class Recorder:
    """Bounded memory of served requests; what does not fit is dropped and counted, never waited for."""

    def __init__(self, replica: str, *, capacity_rows: int = 200_000) -> None:
        self._replica = replica
        self._capacity_rows = capacity_rows
        self._served: list[Served] = []
        self._rows = 0
        self._numbers = itertools.count()
        self.dropped_rows = 0

    def add(self, served: Served) -> None:
        """Remember one request."""
        rows = len(served.scores)
        if self._rows + rows > self._capacity_rows:
            self.dropped_rows += rows
            return
        self._served.append(served)
        self._rows += rows

    def take(self) -> list[Served]:
        """Everything remembered so far; the memory is empty afterwards."""
        taken, self._served, self._rows = self._served, [], 0
        return taken

    def handovers(self, served: Sequence[Served]) -> list[Handover]:
        """Columnar records of `served`, and the profile of what the champion answered: one for each champion they met.

        An hour after a failure to deliver, the records of two hours make two: a file of records lies in one hour.
        Pure work: safe on any thread.
        """
        batches: dict[tuple[int, int], list[Served]] = {}
        for one in served:
            batches.setdefault((one.encoded_by.version, int(one.time_s // _HOUR_S)), []).append(one)
        return [self._handover(version, batch) for (version, _), batch in batches.items()]

    def _handover(self, version: int, served: Sequence[Served]) -> Handover:
        bundle = served[0].encoded_by.bundle
        profile = _profile(served, bundle.reference)
        name = f"{self._replica}-{next(self._numbers):08d}"
        return Handover(name, served[0].time_s, version, _table(served, bundle.signature), profile.to_bytes())


def _profile(served: Sequence[Served], reference: drift.ReferenceProfile) -> drift.Profile:
    """Rows that fell back or went to a canary would bend the predictions; units are split at random, so the
    champion's own rows stand for all."""
    own = [s for s in served if s.role == "champion" and s.assigned != "canary" and s.status == 200]
    if not own:
        return drift.empty(reference)
    features = np.concatenate([s.matrix for s in own])
    scores = np.concatenate([s.scores for s in own])
    return drift.fold(reference, np.column_stack((features, scores)))


def _table(served: Sequence[Served], signature: Signature) -> pa.Table:
    counts = [len(s.scores) for s in served]

    def repeat(values: Sequence[Any], dtype: Any) -> NDArray[Any]:
        return np.repeat(np.array(values, dtype=dtype), counts)

    matrix = np.concatenate([s.matrix for s in served])
    scores = np.concatenate([s.scores for s in served])
    features = pa.StructArray.from_arrays(
        [_column(column, matrix[:, i]) for i, column in enumerate(signature.inputs)], names=list(signature.names)
    )
    row = np.concatenate([np.arange(n, dtype=np.int32) for n in counts])
    columns: list[Any] = [
        repeat([s.request_id for s in served], object),
        row,
        repeat([s.unit for s in served], object),
        repeat([s.time_s for s in served], np.float64),
        repeat([s.version for s in served], np.int64),
        repeat([s.role for s in served], object),
        repeat([s.assigned for s in served], object),
        repeat([s.canary for s in served], np.int64),
        repeat([s.epoch for s in served], np.int64),
        repeat([s.status for s in served], np.int16),
        repeat([s.error for s in served], object),
        repeat([s.latency_ms for s in served], np.float64),
        pa.array(scores, from_pandas=True),
        features,
    ]
    schema = served_schema(features.type)
    arrays = [c if isinstance(c, pa.Array) else pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _column(column: InputColumn, values: NDArray[np.float64]) -> pa.Array:
    """A matrix column in the type of the feature; a category that the signature does not know becomes <unseen>."""
    if column.type == "category":
        vocabulary = pa.array([*column.categories, UNSEEN])
        codes = pa.array(np.nan_to_num(values).astype(np.int32), mask=np.isnan(values))
        return vocabulary.take(codes)
    kind = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_()}[column.type]
    return pa.array(values, from_pandas=True).cast(kind, safe=False)
