"""Requests for another process that come within a moment travel in one call, each with its own deadline and outcome."""

import asyncio
import contextvars
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import AsleepError, DeadlineError, PredictionError
from mlops_ray.serve.predicted import Predicted
from mlops_ray.serve.remote_version import RemoteVersion, predicted_of

__all__ = ["Coalescer"]

_CALL_REQUESTS = 64
_CALL_BYTES = 2**20
# A request that has little time left waits for no company.
_HURRY = 4.0
Matrix = NDArray[np.float64]
# An error is a result here, too: one that is set on a future nobody looks at any more would be logged as lost.
_Ended = Predicted | PredictionError


class _Asked:
    """One request on its way."""

    __slots__ = ("answer", "matrix", "until_s")

    def __init__(self, matrix: Matrix, until_s: float, answer: asyncio.Future[_Ended]) -> None:
        self.matrix = matrix
        self.until_s = until_s
        self.answer = answer


class Coalescer:
    """Asks a remote version; belongs to one event loop.

    Every request ends exactly once, and no later than its deadline: a timer of its own ends it when the call does not.
    A request is done when its future is, and only whoever finds it undone may end it, so that nothing depends on who
    comes first. A call that nobody waits for any more is cancelled. Any number of calls may be in flight: the
    champion's replica bounds its requests, and a replica that hangs must not keep the others' requests waiting.
    """

    def __init__(self, remote: RemoteVersion, *, who: str, wait_s: float, each: tuple[int, ...] = ()) -> None:
        """`each`: the shape of the answer to one row."""
        self._remote = remote
        self._who = who
        self._wait_s = wait_s
        self._each = each
        self._waiting: list[_Asked] = []
        self._bytes = 0
        self._timer: asyncio.Handle | None = None
        self._calls: set[asyncio.Task[None]] = set()

    async def ask(self, matrix: Matrix, *, timeout_s: float) -> Predicted:
        """Scores of the request's own rows (n, d), after at most `timeout_s`.

        Raises:
            AsleepError: the version has no replica at the moment.
            DeadlineError: there was no answer in time.
            PredictionError: the version has failed.
        """
        loop = asyncio.get_running_loop()
        asked = _Asked(matrix, loop.time() + timeout_s, loop.create_future())
        timer = loop.call_at(asked.until_s, self._expire, asked, timeout_s)
        self._put(asked, loop)
        try:
            ended = await asked.answer
        finally:
            timer.cancel()
        if isinstance(ended, PredictionError):
            raise ended
        return ended

    def _put(self, asked: _Asked, loop: asyncio.AbstractEventLoop) -> None:
        if self._bytes + asked.matrix.nbytes > _CALL_BYTES:
            self._dispatch()  # a large request travels alone
        self._waiting.append(asked)
        self._bytes += asked.matrix.nbytes
        hurries = asked.until_s - loop.time() < _HURRY * self._wait_s
        if hurries or len(self._waiting) >= _CALL_REQUESTS or self._bytes >= _CALL_BYTES:
            self._dispatch()
        elif self._timer is None:
            later = self._wait_s > 0
            self._timer = loop.call_later(self._wait_s, self._dispatch) if later else loop.call_soon(self._dispatch)

    def _expire(self, asked: _Asked, timeout_s: float) -> None:
        _end(asked, DeadlineError(f"{self._who} gave no answer within {timeout_s * 1000:g} ms"))

    def _dispatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch = [asked for asked in self._waiting if not asked.answer.done()]
        self._waiting, self._bytes = [], 0
        if batch:
            # The call is nobody's own: Serve cancels what a request asked for when its client goes away, and knows the
            # request by the context.
            loop = asyncio.get_running_loop()
            call = loop.create_task(self._call(batch), context=contextvars.Context())
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
            _cancel_when_done(call, batch)

    async def _call(self, batch: Sequence[_Asked]) -> None:
        """Ask for the batch, and end every request in it."""
        now_s = asyncio.get_running_loop().time()
        try:
            left_s = [max(0.0, asked.until_s - now_s) for asked in batch]
            outcomes = list(await self._remote.predict_many([asked.matrix for asked in batch], left_s))
        except asyncio.CancelledError:
            self._fail(batch, "the call was cancelled")
            raise
        except AsleepError as error:
            for asked in batch:
                _end(asked, error)
            return
        except Exception as error:  # noqa: BLE001 - the border to another process; who waits must not wait in vain
            self._fail(batch, f"{type(error).__name__}: {error}")
            return
        if len(outcomes) != len(batch):
            self._fail(batch, f"it answered {len(outcomes)} of {len(batch)} requests")
            return
        for asked, outcome in zip(batch, outcomes, strict=True):
            try:
                _end(asked, predicted_of(outcome, len(asked.matrix), self._who, each=self._each))
            except PredictionError as error:
                _end(asked, error)

    def _fail(self, batch: Sequence[_Asked], why: str) -> None:
        for asked in batch:
            _end(asked, PredictionError(f"{self._who} failed: {why}"))


def _end(asked: _Asked, ended: _Ended) -> None:
    """Whoever gave up waiting has cancelled the future, and whoever was too late has its error already."""
    if not asked.answer.done():
        asked.answer.set_result(ended)


def _cancel_when_done(call: asyncio.Task[None], batch: Sequence[_Asked]) -> None:
    open_ = len(batch)

    def one_less(_: asyncio.Future[_Ended]) -> None:
        nonlocal open_
        open_ -= 1
        if open_ == 0:
            call.cancel()  # changes nothing when the call itself ended them

    for asked in batch:
        asked.answer.add_done_callback(one_less)
