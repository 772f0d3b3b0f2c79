"""Keep-alive HTTP/1.1 connections to one address: a request costs one write, one read and no more than is needed."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import httptools

__all__ = ["HttpAnswer", "HttpPool"]

_IDLE = 64


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What was answered; of the headers only what the body is."""

    status: int
    content_type: bytes
    body: bytes


class HttpPool:
    """Posts to one address; belongs to one event loop.

    A connection carries one request at a time. A request nobody waits for any more takes its connection with it: what
    it would still be answered must not be taken for the answer of another one.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._host = f"{host}:{port}".encode()
        self._idle: deque[_Connection] = deque()

    async def post(self, path: bytes, body: bytes, headers: bytes) -> HttpAnswer:
        """The answer to a request that may be repeated; `headers` are lines as they are sent, each with its end.

        A connection that was idle may have been closed at the other end before it heard of the request: it is sent
        once more then, on a new one.

        Raises:
            OSError: nobody listens there, the connection broke, or what came was not HTTP.
        """
        length = str(len(body)).encode()
        head = b"POST " + path + b" HTTP/1.1\r\nhost: " + self._host + b"\r\n" + headers
        request = head + b"content-length: " + length + b"\r\n\r\n" + body
        if self._idle:
            connection = self._idle.pop()  # the one used last: others may end for want of use
            try:
                return await self._ask(connection, request)
            except ConnectionError:
                if connection.heard:
                    raise
        return await self._ask(await self._connect(), request)

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, *self._address)
        return connection

    async def _ask(self, connection: "_Connection", request: bytes) -> HttpAnswer:
        try:
            answer = await connection.ask(request)
        except BaseException:
            connection.close()
            raise
        if connection.reusable and len(self._idle) < _IDLE:
            connection.lost_when_idle = self._forget
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def _forget(self, connection: "_Connection") -> None:
        if connection in self._idle:
            self._idle.remove(connection)


class _Connection(asyncio.Protocol):
    """One connection; also what httptools calls back."""

    def __init__(self) -> None:
        self.heard = False
        """Whether anything came since the last request."""
        self.reusable = False
        self.lost_when_idle: Callable[[_Connection], None] = _nobody
        self._answer: asyncio.Future[HttpAnswer] | None = None
        self._start()

    def _start(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._content_type = b""
        self._body: list[bytes] = []

    async def ask(self, request: bytes) -> HttpAnswer:
        """Send a request and await its answer."""
        self.heard = self.reusable = False
        if self._transport.is_closing():
            raise ConnectionResetError("the connection was closed while it was idle")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Close; whoever still waits is told."""
        self._transport.abort()

    # -- asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self._transport.abort()  # nothing was asked
            return
        self.heard = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(ConnectionError(f"expected HTTP, found something else: {error}"))
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self._end(exc if isinstance(exc, OSError) else ConnectionResetError("the connection was closed"))
        self.lost_when_idle(self)

    # -- httptools ----------------------------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header came."""
        if name.lower() == b"content-type":
            self._content_type = value

    def on_body(self, body: bytes) -> None:
        """A part of the body came."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The answer is complete."""
        answer = HttpAnswer(self._parser.get_status_code(), self._content_type, b"".join(self._body))
        self.reusable = self._parser.should_keep_alive()
        self._start()
        self._end(answer)

    def _end(self, ended: HttpAnswer | OSError) -> None:
        answer, self._answer = self._answer, None
        if answer is None or answer.done():  # whoever waited has gone
            return
        if isinstance(ended, OSError):
            answer.set_exception(ended)
        else:
            answer.set_result(ended)


def _nobody(_: _Connection) -> None:
    """Nobody has to know that the connection ended."""
