"""Micro-batching: rows of requests that arrive together go through one predict call."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import DeadlineError, PredictionError, RequestError
from mlops_ray.serve.batch_pace import BatchPace
from mlops_ray.serve.predicted import Predicted

__all__ = ["Batcher"]

Matrix = NDArray[np.float64]
Predict = Callable[[Matrix], Awaitable[Matrix]]


@dataclass(slots=True, eq=False)
class _Request:
    """Rows that wait for their scores; times are the loop's."""

    matrix: Matrix
    answer: asyncio.Future[Predicted]
    asked_s: float
    deadline_s: float
    within_s: float
    """What the deadline was when it was asked."""


class Batcher:
    """Predicts one batch at a time, from the requests that came meanwhile; belongs to one event loop.

    Requests are taken in the order they came, each with all of its rows. `pace` says how many rows make a batch and
    how long it waits. What is past its deadline, or cancelled, is not predicted any more. Of a batch that fails, halves
    are predicted, and halves of those that fail: only a request that fails by itself sees an error.

    `name` is how errors call the model; `max_waiting_rows` are kept waiting, besides those in the call that runs.
    """

    def __init__(self, name: str, predict: Predict, *, pace: BatchPace, max_waiting_rows: int) -> None:
        self._name = name
        self._predict = predict
        self._pace = pace
        self._max_waiting_rows = max_waiting_rows
        self._queue: deque[_Request] = deque()
        self._rows = 0  # in the queue
        self._start: asyncio.Handle | None = None  # of the next batch
        self._running: asyncio.Task[None] | None = None

    @property
    def waiting_rows(self) -> int:
        """Rows in the queue."""
        return self._rows

    async def predict(self, matrix: Matrix, *, deadline_s: float) -> Predicted:
        """Scores, (n,) or (n, classes), of the request's own rows (n, d).

        Raises:
            DeadlineError: there were none within `deadline_s`.
            RequestError: 503, too many rows wait already.
            PredictionError: the predict call raised for this request.
        """
        loop = asyncio.get_running_loop()
        request = self._accepted(loop, matrix, deadline_s)
        timer = loop.call_at(request.deadline_s, self._expire, request)
        try:
            return await request.answer
        finally:
            timer.cancel()
            if request.answer.cancelled():
                self._forget(request)

    def _accepted(self, loop: asyncio.AbstractEventLoop, matrix: Matrix, deadline_s: float) -> _Request:
        rows, now_s = len(matrix), loop.time()
        if deadline_s <= 0:
            raise self._too_late(deadline_s)
        if self._rows and self._rows + rows > self._max_waiting_rows:
            raise RequestError(
                f"{self._name} has {self._rows} rows waiting, and keeps at most {self._max_waiting_rows}; "
                "ask again in a moment",
                status=503,
            )
        request = _Request(matrix, loop.create_future(), now_s, now_s + deadline_s, deadline_s)
        self._queue.append(request)
        self._rows += rows
        self._pace.arrived(rows, now_s=now_s)
        if self._running is None:
            if self._rows >= self._pace.limit:
                self._begin()
            elif self._start is None:
                # requests that were read in the same turn of the loop go together, which costs no time
                self._start = loop.call_soon(self._begin_or_wait)
        return request

    def _begin_or_wait(self) -> None:
        """Begin a batch as soon as the pace says; nothing runs and there may be nobody waiting."""
        self._start = None
        if not self._queue:
            return
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        wait_s = self._pace.wait_s(self._rows, waited_s=now_s - self._queue[0].asked_s, now_s=now_s)
        if wait_s > 0:
            self._start = loop.call_later(wait_s, self._begin)
        else:
            self._begin()

    def _begin(self) -> None:
        if self._start is not None:
            self._start.cancel()
            self._start = None
        batch = self._take()
        if batch:
            self._running = asyncio.get_running_loop().create_task(self._run(batch))

    def _take(self) -> list[_Request]:
        """The requests of the next batch: at least one, and no more rows than the limit when they are several."""
        now_s, rows, batch = asyncio.get_running_loop().time(), 0, list[_Request]()
        while self._queue:
            request = self._queue[0]
            if batch and rows + len(request.matrix) > self._pace.limit:
                break
            self._forget(request)
            if self._wanted(request, now_s):
                batch.append(request)
                rows += len(request.matrix)
        return batch

    async def _run(self, batch: list[_Request]) -> None:
        await self._answer(batch, fails=False)
        self._running = None
        self._begin_or_wait()

    async def _answer(self, batch: list[_Request], *, fails: bool) -> bool:
        """Answer every request of a batch; whether one failed. `fails`: it is known that one will."""
        now_s = asyncio.get_running_loop().time()
        batch = [request for request in batch if self._wanted(request, now_s)]
        if not batch:
            return False
        if len(batch) == 1 or not fails:
            error = await self._call(batch)
            if error is None:
                return False
            if len(batch) == 1:
                _settle(batch[0], error)
                return True
        half = len(batch) // 2
        first_fails = await self._answer(batch[:half], fails=False)
        await self._answer(batch[half:], fails=not first_fails)
        return True

    async def _call(self, batch: list[_Request]) -> PredictionError | None:
        """One predict call; its error, when nobody has been answered."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        rows = batch[0].matrix if len(batch) == 1 else np.concatenate([request.matrix for request in batch])
        try:
            scores = await self._predict(rows)
        except PredictionError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the border of a task: who waits for it must not wait in vain
            for request in batch:
                _settle(request, error)
            return None
        took_s = loop.time() - began_s
        self._pace.finished(len(rows), waited_s=began_s - batch[0].asked_s, took_s=took_s)
        start = 0
        for request in batch:
            end = start + len(request.matrix)
            _settle(request, Predicted(scores[start:end], (began_s - request.asked_s) * 1000, took_s * 1000))
            start = end
        return None

    def _wanted(self, request: _Request, now_s: float) -> bool:
        if request.deadline_s <= now_s:
            self._expire(request)
        return not request.answer.done()

    def _expire(self, request: _Request) -> None:
        _settle(request, self._too_late(request.within_s))
        self._forget(request)

    def _forget(self, request: _Request) -> None:
        """Out of the queue, if it is in there: most often at its head."""
        try:
            self._queue.remove(request)
        except ValueError:
            return
        self._rows -= len(request.matrix)

    def _too_late(self, within_s: float) -> DeadlineError:
        return DeadlineError(f"{self._name} gave no answer within {within_s * 1000:g} ms")


def _settle(request: _Request, outcome: Predicted | Exception) -> None:
    """Whoever gave up waiting has cancelled the future."""
    if request.answer.done():
        return
    if isinstance(outcome, Exception):
        request.answer.set_exception(outcome)
    else:
        request.answer.set_result(outcome)
