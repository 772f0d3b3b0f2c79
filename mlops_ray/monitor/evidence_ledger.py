"""What served requests say about a canary, block by block, for whoever judges the rollout."""

import uuid
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_ray.rollout import Block

__all__ = ["EvidenceLedger"]

_BLOCKS = 20_000


@dataclass
class _Canary:
    """Blocks of one canary, and the units already seen failing on each side."""

    blocks: deque[Block] = field(default_factory=lambda: deque(maxlen=_BLOCKS))
    first: int = 0  # number of the oldest block still there
    failed: dict[str, set[str]] = field(default_factory=lambda: {"canary": set(), "champion": set()})


class EvidenceLedger:
    """Blocks of evidence by canary version, numbered, so that a reader takes each one once.

    A unit that fails again and again counts once: clients that retry would otherwise make one bad row look like many
    (statistics: conditional ratio tests need distinct failing units). `incarnation` tells a reader that the numbers
    began anew, after the process was replaced.
    """

    def __init__(self, *, slow_ms: float) -> None:
        self.incarnation = uuid.uuid4().hex
        self._slow_ms = slow_ms
        self._canaries: dict[int, _Canary] = {}

    def add(self, records: pa.Table) -> None:
        """Take in a batch of served records; only what was answered while a canary had a share counts."""
        first_rows = records.filter((pc.field("row") == 0) & (pc.field("canary") > 0))
        for version in pc.unique(first_rows["canary"]).to_pylist():
            self._add(version, first_rows.filter(pc.field("canary") == version))

    def since(self, canary: int, cursor: tuple[str, int]) -> tuple[tuple[str, int], list[Block]]:
        """Blocks after the cursor (incarnation, number), and the cursor to come back with."""
        known = self._canaries.get(canary)
        if known is None:
            return (self.incarnation, 0), []
        incarnation, number = cursor
        start = number if incarnation == self.incarnation else 0
        blocks = list(islice(known.blocks, max(0, start - known.first), None))
        return (self.incarnation, known.first + len(known.blocks)), blocks

    def forget(self, canary: int) -> None:
        """Drop a canary whose rollout has ended."""
        self._canaries.pop(canary, None)

    def _add(self, version: int, records: pa.Table) -> None:
        known = self._canaries.setdefault(version, _Canary())
        assigned = _array(records["assigned"])
        to_canary = assigned == "canary"
        to_champion = assigned == "champion"
        failed = ~_array(records["error"].is_null()).astype(bool)
        slow = _array(records["latency_ms"]) > self._slow_ms
        units = _array(records["unit"])
        block = Block(
            canary_requests=int(to_canary.sum()),
            champion_requests=int(to_champion.sum()),
            canary_errors=_distinct_new(units[to_canary & failed], known.failed["canary"]),
            champion_errors=_distinct_new(units[to_champion & failed], known.failed["champion"]),
            canary_slow=int((to_canary & slow).sum()),
            champion_slow=int((to_champion & slow).sum()),
        )
        if len(known.blocks) == _BLOCKS:
            known.first += 1
        known.blocks.append(block)


def _distinct_new(units: NDArray[Any], seen: set[str]) -> int:
    new = set(units.tolist()) - seen
    seen |= new
    return len(new)


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    values: NDArray[Any] = column.to_numpy()
    return np.asarray(values)
