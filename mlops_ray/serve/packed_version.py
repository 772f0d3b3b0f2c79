"""A remote version behind a channel that carries messages of bounded size."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mlops_ray.serve.messages import Part, Question, Reply, as_question, joined, outcomes_of, parcels
from mlops_ray.serve.remote_version import Outcome

__all__ = ["PackedVersion", "Send"]

Matrix = NDArray[np.float64]
Send = Callable[[Question], Awaitable[Reply]]
# Serve's channel between replicas refuses a message of 4 MiB: all its parts together have to stay below.
_MESSAGE_BYTES = 3 * 2**20


class PackedVersion:
    """See `RemoteVersion`. Requests travel in as few messages as fit; usually that is one."""

    compared = True

    def __init__(self, send: Send, *, message_bytes: int = _MESSAGE_BYTES) -> None:
        self._send = send
        self._message_bytes = message_bytes

    async def predict_many(self, matrices: Sequence[Matrix], left_s: Sequence[float]) -> list[Outcome]:
        """See `RemoteVersion.predict_many`; where several messages are needed, one that fails harms no other."""
        parts = parcels(matrices, max_bytes=self._message_bytes)
        questions = [as_question(several, matrices, left_s) for several in parts]
        if len(questions) == 1:
            return outcomes_of(await self._send(questions[0]), questions[0])
        outcomes = await asyncio.gather(*map(self._guarded, parts, questions))
        flat = [outcome for several in outcomes for outcome in several]
        return joined([part for several in parts for part in several], flat, requests=len(matrices))

    async def _guarded(self, parts: Sequence[Part], question: Question) -> list[Outcome]:
        try:
            return outcomes_of(await self._send(question), question)
        except Exception as error:  # noqa: BLE001 - the border to another process
            return [(None, f"{type(error).__name__}: {error}", 0.0, 0.0)] * len(parts)
