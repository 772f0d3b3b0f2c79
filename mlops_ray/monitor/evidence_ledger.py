"""What served requests say about a canary, block by block, for whoever judges the rollout."""

import uuid
from collections import defaultdict, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_ray.rollout import Block

__all__ = ["Cursor", "EvidenceLedger"]

_BLOCKS = 20_000


@dataclass(frozen=True)
class Cursor:
    """Where a reader of evidence goes on."""

    incarnation: str = ""
    """Of the ledger that numbered the blocks; another one numbers anew."""
    number: int = 0
    """Of the first block not read yet."""
    since_epoch: int = 0
    """Blocks of older routes belong to an earlier delivery of the same version."""


@dataclass(frozen=True)
class _Entry:
    number: int
    epoch: int
    block: Block


@dataclass
class _Canary:
    """Blocks of one canary, oldest first, and the units already seen with a bad request, by side and kind."""

    entries: deque[_Entry] = field(default_factory=lambda: deque(maxlen=_BLOCKS))
    seen: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))


class EvidenceLedger:
    """Blocks of evidence by canary version, numbered, so that a reader takes each one once.

    A unit with one bad request after the other counts once: clients that retry would otherwise make one bad row look
    like many (conditional ratio tests need distinct units). The canary's further bad requests are counted apart: few
    units that make many of them must not let it look fine.
    """

    def __init__(self, *, slow_ms: float) -> None:
        self.incarnation = uuid.uuid4().hex
        self._slow_ms = slow_ms
        self._next = 0
        self._canaries: dict[int, _Canary] = {}

    def add(self, records: pa.Table) -> None:
        """Take in a batch of served records; only what was answered while a canary had a share counts."""
        for version, epoch, requests in _by_route(records):
            known = self._canaries.setdefault(version, _Canary())
            known.entries.append(_Entry(self._next, epoch, self._block(requests, known)))
            self._next += 1

    def remember(self, records: pa.Table) -> None:
        """Only note who failed before, so that it does not count anew after a restart."""
        for version, _, requests in _by_route(records):
            self._block(requests, self._canaries.setdefault(version, _Canary()))

    def since(self, canary: int, cursor: Cursor) -> tuple[Cursor, list[Block]]:
        """Blocks after the cursor, and the cursor to come back with."""
        start = cursor.number if cursor.incarnation == self.incarnation else 0
        known = self._canaries.get(canary, _Canary())
        newest_first = takewhile(lambda entry: entry.number >= start, reversed(known.entries))
        blocks = [entry.block for entry in newest_first if entry.epoch >= cursor.since_epoch]
        return Cursor(self.incarnation, self._next, cursor.since_epoch), blocks[::-1]

    def keep_only(self, canaries: Collection[int]) -> None:
        """Drop all canaries but these: the others' rollouts have ended."""
        self._canaries = {version: known for version, known in self._canaries.items() if version in canaries}

    def _block(self, requests: pa.Table, known: _Canary) -> Block:
        assigned = _array(requests["assigned"])
        units = _array(requests["unit"])
        kinds = {
            "errors": _array(requests["error"].is_valid()).astype(bool),
            "slow": _array(requests["latency_ms"]) > self._slow_ms,
        }
        counts: dict[str, int] = {}
        for side in ("canary", "champion"):
            ours = assigned == side
            counts[f"{side}_requests"] = int(ours.sum())
            for kind, bad in kinds.items():
                first = _first_of_units(units[ours & bad], known.seen[side, kind])
                counts[f"{side}_{kind}"] = first
                counts[f"{side}_repeated_{kind}"] = int((ours & bad).sum()) - first
        del counts["champion_repeated_errors"], counts["champion_repeated_slow"]  # they would speak for the canary
        return Block(**counts)


def _by_route(records: pa.Table) -> Iterator[tuple[int, int, pa.Table]]:
    """(canary, epoch, one row per request) of what was answered with a canary beside the champion."""
    requests = records.filter((pc.field("row") == 0) & (pc.field("canary") > 0))
    for route in sorted({(r["canary"], r["epoch"]) for r in requests.select(["canary", "epoch"]).to_pylist()}):
        version, epoch = route
        yield version, epoch, requests.filter((pc.field("canary") == version) & (pc.field("epoch") == epoch))


def _first_of_units(units: NDArray[Any], seen: set[str]) -> int:
    """How many of these units were not seen before; they are from now on."""
    new = set(units.tolist()) - seen
    seen |= new
    return len(new)


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    values: NDArray[Any] = column.to_numpy()
    return np.asarray(values)
