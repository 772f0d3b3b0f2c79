"""Micro-batching: rows of requests that arrive together go through one predict call."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import PredictionError

__all__ = ["Batcher"]

Matrix = NDArray[np.float64]
Predict = Callable[[Matrix], Awaitable[Matrix]]


class Batcher:
    """Collects rows until there are `max_rows` or the first has waited `max_wait_s`; belongs to one event loop.

    A request keeps its rows together and in order. When a batch fails, its requests are predicted one by one, so
    that only the request with the bad row sees the error.
    """

    def __init__(self, predict: Predict, *, max_rows: int, max_wait_s: float) -> None:
        self._predict = predict
        self._max_rows = max_rows
        self._max_wait_s = max_wait_s
        self._waiting: list[tuple[Matrix, asyncio.Future[Matrix]]] = []
        self._rows = 0
        self._timer: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def predict(self, matrix: Matrix) -> Matrix:
        """Scores of the request's own rows."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Matrix] = loop.create_future()
        self._waiting.append((matrix, future))
        self._rows += len(matrix)
        if self._rows >= self._max_rows:
            self._dispatch()
        elif self._timer is None:
            self._timer = loop.call_later(self._max_wait_s, self._dispatch)
        return await future

    def _dispatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._waiting, self._rows = self._waiting, [], 0
        if batch:
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, batch: list[tuple[Matrix, asyncio.Future[Matrix]]]) -> None:
        try:
            scores = await self._predict(np.concatenate([matrix for matrix, _ in batch]))
        except PredictionError as error:
            await self._one_by_one(batch, error)
            return
        except Exception as error:  # noqa: BLE001 - the border of a task: who waits for it must not wait in vain
            for _, future in batch:
                _settle(future, error)
            return
        start = 0
        for matrix, future in batch:
            _settle(future, scores[start : start + len(matrix)])
            start += len(matrix)

    async def _one_by_one(self, batch: list[tuple[Matrix, asyncio.Future[Matrix]]], error: PredictionError) -> None:
        for matrix, future in batch:
            if future.done():
                continue
            try:
                if len(batch) == 1:
                    raise error
                scores = await self._predict(matrix)
            except Exception as own:  # noqa: BLE001 - as above
                _settle(future, own)
            else:
                _settle(future, scores)


def _settle(future: asyncio.Future[Matrix], outcome: Matrix | Exception) -> None:
    """Whoever gave up waiting has cancelled the future."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
