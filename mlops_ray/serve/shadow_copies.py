"""Copies of answered requests for a version that nobody waits for: bounded, paced by the version, dropped when late."""

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import AsleepError, PredictionError
from mlops_ray.serve.answer import ArrowBody, Body
from mlops_ray.serve.canary_link import CanaryLink
from mlops_ray.serve.predicted import Predicted
from mlops_ray.serve.recorder import Recorder, Served
from mlops_ray.serve.remote_version import no_room, predicted_of

__all__ = ["Bounds", "ShadowCopies"]

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Bounds:
    """What copies may cost the champion's replica at most."""

    queued: int = 512
    queued_bytes: int = 32 * 2**20
    calls: int = 2
    """In flight."""
    call_requests: int = 64
    call_bytes: int = 2**20
    wait_s: float = 0.02
    """Copies gather for so long: nobody waits for them, and each call costs as much as two requests."""
    brisk_s: float = 0.1
    """A call that took longer carries fewer copies the next time."""
    rest_s: float = 1.0
    """After a call that was not answered at all."""


class ShadowCopies:
    """Copies for one version; belongs to one event loop.

    A call begins with one copy, and twice as many each time the version is quick, half as many when it is not: never
    more than it can take. What does not fit into the queue is dropped and counted, and so are copies in a call of
    several that was not answered in time: that many may have been too many. One alone that is not answered is the
    version's failure.
    """

    def __init__(
        self, link: CanaryLink, recorder: Recorder, *, deadline_s: float, bounds: Bounds | None = None
    ) -> None:
        self._link = link
        self._recorder = recorder
        self._deadline_s = deadline_s
        self._bounds = bounds or Bounds()
        self._queue: deque[tuple[Served, Matrix]] = deque()
        self._bytes = 0
        self._at_once = 1
        self._timer: asyncio.TimerHandle | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._readings: set[asyncio.Task[None]] = set()
        self._closed = False

    def offer(self, served: Served, body: Body) -> None:
        """Copy a request of the champion, read anew by the version's own signature where that is another one."""
        # In the next turn of the loop: the answer goes out first.
        asyncio.get_running_loop().call_soon(self._take_in, served, body)

    def close(self) -> None:
        """Forget everything queued and under way: the version is no longer asked."""
        self._closed = True
        self._recorder.dropped_copies += len(self._queue)
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
        for task in (*self._calls, *self._readings):
            task.cancel()

    def _take_in(self, served: Served, body: Body) -> None:
        alike = self._link.reads_like(served.encoded_by.signature)
        takes_long = isinstance(body, ArrowBody) and not alike
        crowded = not self._has_room(served.matrix.nbytes) or len(self._readings) >= self._bounds.call_requests
        if self._closed or takes_long or crowded:
            self._recorder.dropped_copies += 1
        elif alike:
            self._put(served, served.matrix)
        else:
            reading = asyncio.get_running_loop().create_task(self._read(served, body), context=contextvars.Context())
            self._readings.add(reading)
            reading.add_done_callback(self._readings.discard)

    async def _read(self, served: Served, body: Body) -> None:
        """Queue a copy as the version itself reads it."""
        try:
            matrix = await self._link.read_aside(body)
        except PredictionError as error:
            self._keep(served, error)
            return
        except asyncio.CancelledError:
            self._recorder.dropped_copies += 1
            raise
        if self._closed or not self._has_room(matrix.nbytes):
            self._recorder.dropped_copies += 1
        else:
            self._put(served, matrix)

    def _put(self, served: Served, matrix: Matrix) -> None:
        self._queue.append((served, matrix))
        self._bytes += matrix.nbytes
        self._later(self._bounds.wait_s)

    def _has_room(self, size: int) -> bool:
        return len(self._queue) < self._bounds.queued and self._bytes + size <= self._bounds.queued_bytes

    def _later(self, wait_s: float) -> None:
        if self._timer is None and self._queue and len(self._calls) < self._bounds.calls and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._send)

    def _send(self) -> None:
        self._timer = None
        while self._queue and len(self._calls) < self._bounds.calls:
            # Not in the context of any request; see Coalescer.
            call = asyncio.get_running_loop().create_task(self._call(self._batch()), context=contextvars.Context())
            self._calls.add(call)
            call.add_done_callback(self._called)

    def _batch(self) -> list[tuple[Served, Matrix]]:
        batch: list[tuple[Served, Matrix]] = []
        room = self._bounds.call_bytes
        while self._queue and len(batch) < self._at_once and (not batch or self._queue[0][1].nbytes <= room):
            batch.append(self._queue.popleft())
            room -= batch[-1][1].nbytes
            self._bytes -= batch[-1][1].nbytes
        return batch

    def _called(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._later(self._bounds.wait_s)

    async def _call(self, batch: Sequence[tuple[Served, Matrix]]) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            async with asyncio.timeout(self._deadline_s):
                # Whether a copy is late is for this side to say: the other does not know if it came in company.
                patience_s = [2 * self._deadline_s] * len(batch)
                outcomes = list(await self._link.remote.predict_many([m for _, m in batch], patience_s))
        except asyncio.CancelledError:
            self._recorder.dropped_copies += len(batch)
            raise
        except TimeoutError:
            await self._unanswered(batch)
            return
        except AsleepError:
            self._recorder.dropped_copies += len(batch)
            return
        except Exception as error:  # noqa: BLE001 - the border to another process
            outcomes = [(None, f"{self._who} failed: {type(error).__name__}: {error}", 0.0, 0.0)] * len(batch)
        self._pace(len(batch), loop.time() - began_s)
        if len(outcomes) != len(batch):
            outcomes = [(None, f"{self._who} answered {len(outcomes)} of {len(batch)} copies", 0.0, 0.0)] * len(batch)
        for (served, matrix), outcome in zip(batch, outcomes, strict=True):
            self._ended(served, outcome, len(matrix))

    def _ended(self, served: Served, outcome: Any, rows: int) -> None:
        if no_room(outcome):
            self._recorder.dropped_copies += 1
            self._at_once = 1
            return
        try:
            self._keep(served, predicted_of(outcome, rows, self._who, each=self._link.signature.answer_shape))
        except PredictionError as error:
            self._keep(served, error)

    def _pace(self, copies: int, took_s: float) -> None:
        if took_s > self._bounds.brisk_s:
            self._at_once = max(1, self._at_once // 2)
        elif copies == self._at_once and took_s < self._bounds.brisk_s / 2:
            self._at_once = min(self._bounds.call_requests, self._at_once * 2)

    async def _unanswered(self, batch: Sequence[tuple[Served, Matrix]]) -> None:
        if len(batch) == 1:
            why = f"{self._who} gave no answer within {self._deadline_s * 1000:g} ms"
            self._keep(batch[0][0], PredictionError(why))
        else:
            self._recorder.dropped_copies += len(batch)
        self._at_once = 1
        await asyncio.sleep(self._bounds.rest_s)  # the call counts as in flight meanwhile

    @property
    def _who(self) -> str:
        return f"shadow version {self._link.version}"

    def _keep(self, served: Served, ended: Predicted | PredictionError) -> None:
        """Record what the version made of a copy; features as the champion encodes them, its scores beside.

        The latency is the time inside the model: how long a copy waited is the doing of whoever copies.
        """
        failed = isinstance(ended, PredictionError)
        nothing = Predicted(np.full(len(served.scores), np.nan), 0.0, 0.0)
        predicted = nothing if isinstance(ended, PredictionError) else ended
        self._recorder.add(
            msgspec.structs.replace(
                served,
                time_s=time.time(),
                version=self._link.version,
                role="shadow",
                assigned="shadow",
                status=500 if failed else 200,
                error=str(ended) if failed else None,
                latency_ms=predicted.predict_ms,
                scores=predicted.scores,
                queue_ms=predicted.queue_ms,
                predict_ms=predicted.predict_ms,
                paired_scores=served.scores if served.status == 200 else None,
            )
        )
