"""Steady requests that are all accounted for: what each was answered, by which version, after which losses.

The client's policy is that of mlops_ray/demo/traffic.py, which users of the service are asked to follow: a broken
connection or HTTP 503 is tried again up to three times with a short wait, which is safe because a request carries its
own `request_id`; any other answer than 200, and no answer in time, is a failure at once.
"""

import asyncio
import itertools
import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, cast
from urllib.parse import urlsplit

__all__ = ["BACKOFF_S", "Request", "SteadyClient", "TryAgain"]

BACKOFF_S = (0.1, 0.3, 0.9)
_TIMEOUT_S = 10.0
_NAP_S = 0.05


@dataclass(slots=True)
class Request:
    """One request and what became of it; times are seconds since the epoch."""

    row: int
    due_s: float
    ended_s: float = 0.0
    score: float | None = None  # None: it never got an answer
    version: int = 0
    role: str = ""
    epoch: int = -1
    error: str = ""  # why it never did
    lost: list[str] = field(default_factory=list)  # attempts that were tried again: "in flight", "refused" or "503"


class TryAgain(Exception):
    """An attempt that may be repeated, and what it met."""


class SteadyClient:
    """Sends `rate_per_s` requests a second in a thread of its own; `rows` are the records, sent in turns."""

    def __init__(
        self, url: str, rows: Sequence[Mapping[str, Any]], *, rate_per_s: float, connections: int = 32
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, parts.path
        self._rows = [json.dumps(row).encode() for row in rows]
        self._interval_s = 1 / rate_per_s
        self._places = connections
        self._log: list[Request] = []
        self._idle: deque[_Connection] = deque()
        self._stopping = threading.Event()
        self._problem: BaseException | None = None
        self._cpu_s = 0.0
        self._thread = threading.Thread(target=self._run, name="steady-client", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> list[Request]:
        """End when every request has ended; all of them, in the order they were due.

        Raises:
            BaseException: whatever ended the client before.
        """
        self._stopping.set()
        self._thread.join()
        if self._problem is not None:
            raise self._problem
        return self._log

    @property
    def log(self) -> list[Request]:
        """All requests so far; those under way have `ended_s` 0."""
        return self._log

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the client once it has ended."""
        return self._cpu_s

    def _run(self) -> None:
        try:
            asyncio.run(self._drive())
        except BaseException as problem:  # noqa: BLE001 - the border of a thread; stop() raises it
            self._problem = problem
        self._cpu_s = time.thread_time()

    async def _drive(self) -> None:
        places = asyncio.Semaphore(self._places)
        start_s = time.time()
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                due_s = start_s + number * self._interval_s
                while (wait_s := due_s - time.time()) > 0 and not self._stopping.is_set():
                    await asyncio.sleep(min(wait_s, _NAP_S))
                if self._stopping.is_set():
                    break
                request = Request(number % len(self._rows), due_s)
                self._log.append(request)
                group.create_task(self._ask(request, places))
        for connection in self._idle:
            connection.close()

    async def _ask(self, request: Request, places: asyncio.Semaphore) -> None:
        identity = str(uuid.uuid4())
        body = b'{"records":[%s],"request_id":"%s"}' % (self._rows[request.row], identity.encode())
        async with places:
            await self._with_retries(request, self._packed(body), identity)
        request.ended_s = time.time()

    async def _with_retries(self, request: Request, packed: bytes, identity: str) -> None:
        for wait_s in (*BACKOFF_S, None):
            try:
                status, content = await self._attempt(packed)
            except TryAgain as met:
                request.lost.append(str(met))
                if wait_s is None:
                    request.error = f"lost {1 + len(BACKOFF_S)} times: {', '.join(request.lost)}"
                    return
                await asyncio.sleep(wait_s)
            except TimeoutError:
                request.error = f"no answer within {_TIMEOUT_S:g} s"
                return
            else:
                _read(request, status, content, identity)
                return

    async def _attempt(self, packed: bytes) -> tuple[int, bytes]:
        connection = await self._connection()
        try:
            status, content = await asyncio.wait_for(connection.ask(packed), _TIMEOUT_S)
        except TimeoutError:
            connection.close()  # a late answer would be taken for that of the next request
            raise
        if connection.open:
            self._idle.append(connection)
        if status == 503:
            raise TryAgain("503")
        return status, content

    async def _connection(self) -> "_Connection":
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
        loop = asyncio.get_running_loop()
        try:
            _, made = await loop.create_connection(_Connection, self._host, self._port)
        except OSError:
            raise TryAgain("refused") from None
        return made

    def _packed(self, body: bytes) -> bytes:
        head = f"POST {self._path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\ncontent-type: application/json\r\n"
        return b"%scontent-length: %d\r\n\r\n%s" % (head.encode(), len(body), body)


class _Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self) -> None:
        self.open = False
        self._received = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    def ask(self, packed: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        """Status and body of the answer; TryAgain when the connection breaks before."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(packed)
        return self._answer

    def close(self) -> None:
        """Say goodbye."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        names = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
        if len(body) < int(names.get(b"content-length", b"0")):
            return
        if names.get(b"connection", b"").strip() == b"close":
            self.open = False
            self._transport.close()
        self._received = b""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(TryAgain("in flight"))


def _read(request: Request, status: int, content: bytes, identity: str) -> None:
    if status != 200:
        request.error = f"HTTP {status}: {content[:200].decode(errors='replace')}"
        return
    try:
        answer = json.loads(content)
        if answer["request_id"] != identity or len(answer["predictions"]) != 1:
            raise ValueError(f"expected one prediction for {identity}")
        request.version, request.role = int(answer["model_version"]), str(answer["role"])
        request.epoch, request.score = int(answer["epoch"]), float(answer["predictions"][0]["score"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        request.score = None
        request.error = f"unexpected answer ({error!r}): {content[:200].decode(errors='replace')}"
