"""A remote version that does to each call what a script says: answer late, raise, never answer, answer nonsense."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tests.serve.fake_time import START_S

__all__ = ["Act", "ScriptedVersion", "now_s"]

Matrix = NDArray[np.float64]
Kind = Literal["answers", "raises", "hangs", "too few", "some NaN", "some errors", "nonsense", "cancels itself"]


def now_s() -> float:
    """Seconds since the story began, in fake time."""
    return asyncio.get_running_loop().time() - START_S


@dataclass(frozen=True)
class Act:
    """What becomes of one call, after `delay_s`."""

    kind: Kind = "answers"
    delay_s: float = 0.0


@dataclass
class ScriptedVersion:
    """Its scores are the first column; the acts are used call by call, the last one for ever."""

    acts: Sequence[Act] = (Act(),)
    calls: list[list[Matrix]] = field(default_factory=list)
    begun_s: list[float] = field(default_factory=list)
    ended_s: dict[int, float] = field(default_factory=dict)
    """By position of the call; not of calls that were cancelled."""
    running: int = 0
    most_running: int = 0
    cancelled: int = 0
    compared: bool = True

    async def predict_many(self, matrices: Sequence[Matrix], left_s: Sequence[float]) -> Any:
        act = self.acts[min(len(self.calls), len(self.acts) - 1)]
        assert all(left > 0 for left in left_s)
        number = len(self.calls)
        self.calls.append(list(matrices))
        self.begun_s.append(now_s())
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            await asyncio.sleep(1e9 if act.kind == "hangs" else act.delay_s)
            self.ended_s[number] = now_s()
            return self._ending(act.kind, matrices)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    def _ending(self, kind: Kind, matrices: Sequence[Matrix]) -> Any:
        outcomes: list[Any] = [(matrix[:, 0], None, 0.25, 0.5) for matrix in matrices]
        if kind == "raises":
            raise ConnectionError("replica is gone")
        if kind == "cancels itself":
            raise asyncio.CancelledError
        if kind == "too few":
            return outcomes[1:]
        if kind == "some NaN":
            outcomes[::2] = [(np.full(len(m), np.nan), None, 0.0, 0.0) for m in matrices[::2]]
        if kind == "some errors":
            outcomes[::2] = [(None, "bad row", 0.0, 0.0) for _ in matrices[::2]]
        if kind == "nonsense":
            outcomes[::2] = [None if i % 4 else "scores" for i in range(0, len(matrices), 2)]
        return outcomes
