"""Load over keep-alive connections: `python -m benchmarks.load_client URL BODIES --connections 16 [--rate 500]`.

Closed loop: each connection sends its next request when the last one is answered. With `--rate`, open loop: requests
become due on a fixed schedule whatever the server does, and latency counts from when a request was due, so that a
server that stalls is charged for those that had to wait.

Bare asyncio protocols on bytes that were made beforehand, so that the client costs far less than any server here; it
says what it cost. The last line of stdout is one JSON object.
"""

import argparse
import asyncio
import base64
import itertools
import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop

__all__ = ["main", "parse", "schedule", "summary"]

_WARM_UP_S = 0.7
_PATIENCE_S = 15.0


@dataclass
class _Run:
    """What all connections share; `interval_s` is None in a closed loop."""

    requests: Iterator[bytes]
    address: tuple[str, int]
    measure_from_s: float
    stop_at_s: float
    interval_s: float | None
    done: asyncio.Future[None]
    latencies_s: list[float] = field(default_factory=list)
    failed: int = 0
    problem: str = ""
    open: int = 0
    sent: int = 0
    idle: deque["_Connection"] = field(default_factory=deque)
    waiting: deque[float] = field(default_factory=deque)
    reconnecting: list[asyncio.Future[None]] = field(default_factory=list)

    async def connect(self) -> None:
        """One connection more."""
        await asyncio.get_running_loop().create_connection(lambda: _Connection(self), *self.address)

    def due(self, due_s: float) -> None:
        """A request of the schedule has become due."""
        if self.idle:
            self.idle.popleft().ask(due_s)  # in turns, so that none is idle for so long that the server closes it
        else:
            self.waiting.append(due_s)

    def free(self, connection: "_Connection") -> None:
        """A connection has nothing to do."""
        now_s = time.perf_counter()
        if self.interval_s is None:
            connection.close() if now_s >= self.stop_at_s else connection.ask(now_s)
        elif self.waiting:
            connection.ask(self.waiting.popleft())
        elif now_s >= self.stop_at_s:
            connection.close()
        else:
            self.idle.append(connection)

    def answered(self, due_s: float) -> None:
        """Count an answer to a request that was due then."""
        if due_s >= self.measure_from_s:
            self.latencies_s.append(time.perf_counter() - due_s)

    def refuse(self, problem: str) -> None:
        """Count a request that was not answered as it should be."""
        self.failed += 1
        self.problem = problem


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._received = b""
        self._due_s = 0.0
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._run.open += 1
        self._run.free(self)

    def ask(self, due_s: float) -> None:
        """Send the next request."""
        self._due_s, self._busy = due_s, True
        self._run.sent += 1
        self._transport.write(next(self._run.requests))

    def close(self) -> None:
        """No more requests."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or not _is_complete(head, body):
            return
        self._run.answered(self._due_s)
        if b" 200 " not in head[:14]:
            self._run.refuse(self._received[:300].decode(errors="replace"))
        self._received, self._busy = b"", False
        self._run.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.open -= 1
        if self._busy:
            self._run.refuse(f"the server closed a connection that waited for an answer ({exc})")
        if time.perf_counter() < self._run.stop_at_s:
            # A server may close a connection that is idle; who uses it next opens another one.
            if self in self._run.idle:
                self._run.idle.remove(self)
            self._run.reconnecting.append(asyncio.ensure_future(self._run.connect()))
        elif self._run.open == 0 and not self._run.done.done():
            self._run.done.set_result(None)


def schedule(start_s: float, stop_s: float, interval_s: float) -> Iterator[float]:
    """When requests are due in an open loop.

    >>> list(schedule(1.0, 2.0, 0.25))
    [1.0, 1.25, 1.5, 1.75]
    """
    return itertools.takewhile(lambda due_s: due_s < stop_s, (start_s + interval_s * i for i in itertools.count()))


async def _send_on_schedule(run: _Run, interval_s: float) -> None:
    for due_s in schedule(time.perf_counter(), run.stop_at_s, interval_s):
        while (wait_s := due_s - time.perf_counter()) > 0:
            await asyncio.sleep(wait_s)
        run.due(due_s)
    while (wait_s := run.stop_at_s - time.perf_counter()) > 0:
        await asyncio.sleep(wait_s)
    for connection in list(run.idle):
        connection.close()


async def _drive(arguments: argparse.Namespace, requests: list[bytes]) -> dict[str, float | int | str]:
    parts = urlsplit(arguments.url)
    loop = asyncio.get_running_loop()
    start_s = time.perf_counter() + _WARM_UP_S
    interval_s = 1 / arguments.rate if arguments.rate else None
    address = (parts.hostname or "", parts.port or 80)
    stop_s = start_s + arguments.seconds
    run = _Run(itertools.cycle(requests), address, start_s, stop_s, interval_s, loop.create_future())
    cpu_s = time.process_time()
    for _ in range(arguments.connections):
        await run.connect()
    if interval_s is not None:
        await _send_on_schedule(run, interval_s)
    await asyncio.wait_for(run.done, _WARM_UP_S + arguments.seconds + _PATIENCE_S)
    cpu_s = time.process_time() - cpu_s
    return {
        **summary(run.latencies_s, arguments.seconds),
        "sent": run.sent,
        "failed": run.failed,
        "problem": run.problem,
        "client_cpu_share": cpu_s / (arguments.seconds + _WARM_UP_S),
    }


def summary(latencies_s: Sequence[float], seconds: float) -> dict[str, float | int]:
    """Rate and latency quantiles of the answers of so many seconds.

    >>> summary([0.004, 0.002], 4.0)
    {'requests': 2, 'requests_per_s': 0.5, 'p50_ms': 4.0, 'p99_ms': 4.0}
    """
    ordered = sorted(latencies_s)
    return {
        "requests": len(ordered),
        "requests_per_s": len(ordered) / seconds,
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p99_ms": 1000 * ordered[int(len(ordered) * 0.99)],
    }


def _is_complete(head: bytes, body: bytes) -> bool:
    lower = head.lower()
    at = lower.find(b"content-length:")
    if at >= 0:
        return len(body) >= int(lower[at + 15 :].split(b"\r\n", 1)[0])
    if b"transfer-encoding: chunked" in lower:
        return body.endswith(b"0\r\n\r\n")
    raise RuntimeError(f"expected an answer with content-length or in chunks, found {head!r}")


def _requests(url: str, bodies: Sequence[bytes], content_type: str) -> list[bytes]:
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: {content_type}\r\ncontent-length: "
    return [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("bodies", type=Path, help="JSON list of request bodies")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=float, help="requests/s of an open loop; a closed loop without it")
    parser.add_argument("--content-type", default="application/json")
    parser.add_argument("--base64", action="store_true", help="the bodies are bytes in base64")
    return parser.parse_args(arguments)


def main() -> None:
    """Parse the arguments and print the measurement."""
    arguments = parse()
    texts: list[str] = json.loads(arguments.bodies.read_text())
    bodies = [base64.b64decode(text) if arguments.base64 else text.encode() for text in texts]
    requests = _requests(arguments.url, bodies, arguments.content_type)
    print(json.dumps(uvloop.run(_drive(arguments, requests))))


if __name__ == "__main__":
    main()
