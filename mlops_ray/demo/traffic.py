"""Steady HTTP traffic for a model, from a thread of its own; knows the service only by its URLs.

The client's policy, the same that users of the service are asked to follow: a broken connection or HTTP 503 is tried
again up to three times with a short wait, which is safe because a request carries its own `request_id`. Any other
answer than 200, a timeout, and an answer without a usable prediction count as failed at once.
"""

import asyncio
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Self

import aiohttp

from mlops_ray.demo.traffic_counts import Answer, TrafficCounts, TrafficTally
from mlops_ray.errors import ClusterError

__all__ = ["Rows", "TrafficDriver"]

Row = Mapping[str, Any]
Rows = Callable[[int], Sequence[Row]]

_CHUNK = 64  # rows asked for at a time
_LABELS_PER_POST = 500
_LONGEST_LAG_S = 1.0  # further behind its schedule than this, the driver starts a new one instead of a burst
_NAP_S = 0.1  # longest sleep, so that stop() is heard
_SERVICE_UNAVAILABLE, _OK = 503, 200


class TrafficDriver:
    """Sends `rate_per_s` single-row predict requests a second to `{url}/v2/models/{model}/predict`.

    `rows(n)` gives the next rows, each with `unit` (whom it is about) and the features. A service that is too slow for
    the rate gets less: no more than `connections` requests are under way.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        rate_per_s: float,
        rows: Rows,
        connections: int = 8,
        unit: str = "customer_id",
        backoff_s: Sequence[float] = (0.1, 0.3, 0.9),
        timeout_s: float = 10.0,
        kept_answers: int = 20_000,
    ) -> None:
        self._base = f"{url.rstrip('/')}/v2/models/{model}"
        self._interval_s, self._connections, self._unit = 1.0 / rate_per_s, connections, unit
        self._backoff_s, self._timeout_s = tuple(backoff_s), timeout_s
        self._source_lock = threading.Lock()
        self._rows, self._buffer = rows, deque[Row]()
        self._tally = TrafficTally(kept_answers=kept_answers)
        self._stopping = threading.Event()
        self._ended: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name=f"traffic-{model}", daemon=True)

    def start(self) -> Self:
        """Begin to send; once per driver."""
        self._thread.start()
        return self

    def stop(self, *, timeout_s: float = 30.0) -> TrafficCounts:
        """Finish what is under way and return the final counters.

        Raises:
            ClusterError: the driver did not end in `timeout_s`.
            Exception: whatever the source of rows raised.
        """
        self._stopping.set()
        try:
            self._ended.result(timeout=timeout_s)
        except TimeoutError:
            raise ClusterError(f"traffic to {self._base} did not end within {timeout_s:g} s of stop()") from None
        return self.snapshot()

    def set_rows(self, rows: Rows) -> None:
        """Take the next rows from another source; rows already fetched from the old one are dropped."""
        with self._source_lock:
            self._rows = rows
            self._buffer.clear()

    def snapshot(self) -> TrafficCounts:
        """The counters now."""
        return self._tally.snapshot()

    def drain_answers(self) -> list[Answer]:
        """The answers since the last call (the newest 20,000 unless told), oldest first."""
        return self._tally.drain()

    def send_labels(self, labels: Mapping[str, int]) -> None:
        """POST outcomes (request id -> 0 or 1) to `{url}/v2/models/{model}/labels`, with the policy of all requests.

        Works whether the driver runs or not; not to be called from a running event loop.

        Raises:
            ClusterError: the service did not take them, with what it said.
        """
        asyncio.run(self._send_labels(labels))

    async def _send_labels(self, labels: Mapping[str, int]) -> None:
        entries = [{"request_id": request_id, "label": int(label)} for request_id, label in labels.items()]
        async with self._session() as session:
            for first in range(0, len(entries), _LABELS_PER_POST):
                try:
                    await self._post(session, "labels", {"labels": entries[first : first + _LABELS_PER_POST]})
                except _RequestFailed as error:
                    raise ClusterError(f"labels were not taken: {error}") from None

    def _run(self) -> None:
        try:
            asyncio.run(self._drive())
        except BaseExceptionGroup as group:  # of the clients; one cause ended them all, and stop() raises it
            self._ended.set_exception(group.exceptions[0])
        else:
            self._ended.set_result(None)

    async def _drive(self) -> None:
        schedule = _Schedule(self._interval_s, time.monotonic())
        async with self._session() as session, asyncio.TaskGroup() as group:
            for _ in range(self._connections):
                group.create_task(self._client(session, schedule))

    async def _client(self, session: aiohttp.ClientSession, schedule: "_Schedule") -> None:
        while not self._stopping.is_set():
            due_s = schedule.take(time.monotonic())
            while (wait_s := due_s - time.monotonic()) > 0 and not self._stopping.is_set():
                await asyncio.sleep(min(wait_s, _NAP_S))
            if not self._stopping.is_set():
                await self._request(session, self._next_row())

    async def _request(self, session: aiohttp.ClientSession, row: Row) -> None:
        request_id = str(uuid.uuid4())
        record = {name: value for name, value in row.items() if name != self._unit}
        body = {"records": [record], "unit": str(row[self._unit]), "request_id": request_id}
        began_s = time.monotonic()
        self._tally.sent()
        try:
            reply = await self._post(session, "predict", body)
            score, version, role = _prediction(reply, request_id)
        except _RequestFailed as error:
            self._tally.failed(str(error))
        else:
            latency_ms = 1000 * (time.monotonic() - began_s)
            self._tally.answered(Answer(request_id, row, score), version=version, role=role, latency_ms=latency_ms)

    async def _post(self, session: aiohttp.ClientSession, verb: str, body: Mapping[str, Any]) -> Any:
        """The JSON that was answered; tried again by the policy in the docstring of this module."""
        for wait_s in (*self._backoff_s, None):
            try:
                return await _attempt(session, f"{self._base}/{verb}", body)
            except _TryAgain as error:
                if wait_s is None:
                    raise _RequestFailed(f"{error}, {1 + len(self._backoff_s)} times") from None
            self._tally.retried()
            await asyncio.sleep(wait_s)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _next_row(self) -> Row:
        with self._source_lock:
            if not self._buffer:
                self._buffer.extend(self._rows(_CHUNK))
            return self._buffer.popleft()

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
        )


class _RequestFailed(Exception):
    """A request without a usable answer."""


class _TryAgain(Exception):
    """An attempt that may be repeated."""


class _Schedule:
    """Hands out times to send at, `interval_s` apart."""

    def __init__(self, interval_s: float, start_s: float) -> None:
        self._interval_s, self._next_s = interval_s, start_s

    def take(self, now_s: float) -> float:
        due_s = self._next_s if self._next_s > now_s - _LONGEST_LAG_S else now_s
        self._next_s = due_s + self._interval_s
        return due_s


async def _attempt(session: aiohttp.ClientSession, url: str, body: Mapping[str, Any]) -> Any:
    try:
        async with session.post(url, json=body) as response:
            if response.status == _SERVICE_UNAVAILABLE:
                raise _TryAgain(f"HTTP 503 from {url}")
            if response.status != _OK:
                raise _RequestFailed(f"HTTP {response.status} from {url}: {(await response.text())[:300]}")
            return await response.json()
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
        raise _TryAgain(f"{type(error).__name__} at {url} ({error})") from None
    except TimeoutError:
        raise _RequestFailed(f"no answer from {url} in {session.timeout.total:g} s") from None
    except (aiohttp.ContentTypeError, ValueError) as error:
        raise _RequestFailed(f"expected JSON from {url}: {error}") from None


def _prediction(reply: Any, request_id: str) -> tuple[float, str, str]:
    """Score, model version and role of a reply to a request of one row."""
    try:
        answered_id, predictions = reply["request_id"], reply["predictions"]
        score, version, role = float(predictions[0]["score"]), str(reply["model_version"]), str(reply["role"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _RequestFailed(f"unexpected answer ({error!r}): {str(reply)[:300]}") from None
    if answered_id != request_id or len(predictions) != 1:
        raise _RequestFailed(f"expected one prediction for request {request_id}, found {str(reply)[:300]}")
    return score, version, role
