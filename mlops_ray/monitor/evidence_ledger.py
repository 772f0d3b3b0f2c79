"""What served requests say about a version under delivery, block by block, for whoever judges the rollout."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile

import pyarrow as pa

from mlops_ray.monitor.comparison import Comparison, UnitTotals
from mlops_ray.monitor.requests import by_route
from mlops_ray.monitor.yardstick import Yardstick
from mlops_ray.rollout import Block

__all__ = ["Cursor", "EvidenceLedger"]

_BLOCKS = 20_000
_DURABLE = "records"


@dataclass(frozen=True)
class Cursor:
    """Where a reader of evidence goes on; `Cursor(*list(astuple(cursor)))` brings it back from JSON."""

    incarnation: str = ""
    """Of the numbering; a number of another one says nothing, and everything is read."""
    number: int = 0
    """Of the first hand-over not read yet."""
    since_epoch: int = 0
    """Blocks of older routes belong to an earlier delivery of the same version."""


@dataclass(frozen=True)
class _Entry:
    number: int
    epoch: int
    block: Block


@dataclass
class _Delivery:
    """The newest blocks of one version under delivery, oldest first, and how they are made."""

    since_epoch: int = 0
    entries: deque[_Entry] = field(default_factory=lambda: deque(maxlen=_BLOCKS))
    comparison: Comparison = field(default_factory=Comparison)


class EvidenceLedger:
    """Blocks of evidence by version, numbered as the hand-overs they are made of.

    The numbers are kept with the records, so a ledger that is made again from them, hand-over by hand-over in the same
    order, holds the same blocks under the same numbers, and a reader goes on where it was.
    """

    def __init__(self, yardstick: Yardstick) -> None:
        self.yardstick = yardstick
        """What the next requests are measured by."""
        self._next = 0
        self._deliveries: dict[int, _Delivery] = {}

    def add(self, number: int, records: pa.Table) -> None:
        """Take in the served records of a hand-over; only what was answered with a version under delivery counts.

        Numbers grow from one hand-over to the next.
        """
        for version, epoch, requests in by_route(records, self.yardstick):
            known = self._deliveries.setdefault(version, _Delivery())
            if epoch >= known.since_epoch:
                block = known.comparison.block(requests, epoch, self.yardstick)
                known.entries.append(_Entry(number, epoch, block))
        self._next = number + 1

    def since(self, canary: int, cursor: Cursor) -> tuple[Cursor, list[Block]]:
        """Blocks after the cursor, and the cursor to come back with."""
        start = cursor.number if cursor.incarnation == _DURABLE else 0
        known = self._deliveries.get(canary, _Delivery())
        newest_first = takewhile(lambda entry: entry.number >= start, reversed(known.entries))
        blocks = [entry.block for entry in newest_first if entry.epoch >= cursor.since_epoch]
        return Cursor(_DURABLE, max(start, self._next), cursor.since_epoch), blocks[::-1]

    def units(self, canary: int) -> tuple[UnitTotals, ...]:
        """Units met in each epoch of a delivery."""
        return self._deliveries[canary].comparison.units if canary in self._deliveries else ()

    def follow(self, deliveries: Mapping[int, int]) -> None:
        """Keep these versions only, with the first epoch of each one's delivery: the others' have ended."""
        self._deliveries = {version: known for version, known in self._deliveries.items() if version in deliveries}
        for version, since_epoch in deliveries.items():
            self._deliveries.setdefault(version, _Delivery()).since_epoch = since_epoch
