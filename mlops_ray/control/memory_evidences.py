"""A source of evidence without a drift actor."""

import itertools
from collections.abc import Mapping, Sequence

from mlops_ray.monitor import Cursor
from mlops_ray.rollout import Block, Stratum

__all__ = ["MemoryEvidences"]


class MemoryEvidences:
    """See `Evidences`; blocks are put in by whoever plays the traffic."""

    def __init__(self) -> None:
        self.away = False
        """Whether nobody answers, as while the drift actor is being replaced."""
        self.totals: dict[str, tuple[Stratum, ...]] = {}
        """Labelled outcomes of every canary."""
        self._incarnations = itertools.count()
        self._blocks: dict[tuple[str, int], list[tuple[int, Block]]] = {}
        self.restart()

    def add(self, model: str, canary: int, blocks: Sequence[Block], *, epoch: int) -> None:
        """What was seen on a canary under the route of that epoch."""
        self._blocks.setdefault((model, canary), []).extend((epoch, block) for block in blocks)

    def restart(self) -> None:
        """Forget everything, and number anew."""
        self.incarnation = f"incarnation {next(self._incarnations)}"
        self._blocks.clear()

    def evidence(self, model: str, canary: int, cursor: Cursor) -> tuple[Cursor, list[Block]]:
        """See `Evidences.evidence`."""
        if self.away:
            return cursor, []
        known = self._blocks.get((model, canary), [])
        start = cursor.number if cursor.incarnation == self.incarnation else 0
        blocks = [block for epoch, block in known[start:] if epoch >= cursor.since_epoch]
        return Cursor(self.incarnation, len(known), cursor.since_epoch), blocks

    def outcomes(self, model: str, canary: int) -> Mapping[str, tuple[Stratum, ...]] | None:  # noqa: ARG002 - one for all
        """See `Evidences.outcomes`."""
        return None if self.away else self.totals
