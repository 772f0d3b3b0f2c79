"""Closed-loop load over keep-alive connections: `python -m benchmarks.load_client URL BODIES --connections 16`.

Bare asyncio protocols on bytes that were made beforehand, so that the client costs far less than any server here; it
says what it cost. The last line of stdout is one JSON object.
"""

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop

_WARM_UP_S = 0.7
_PATIENCE_S = 10.0


@dataclass
class _Run:
    """What all connections share."""

    requests: Iterator[bytes]
    measure_from_s: float
    stop_at_s: float
    done: asyncio.Future[None]
    latencies_s: list[float] = field(default_factory=list)
    failed: int = 0
    problem: str = ""
    open: int = 0
    sent: int = 0


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as the last one is answered."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._received = b""
        self._sent_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._run.open += 1
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or not _is_complete(head, body):
            return
        now_s = time.perf_counter()
        if self._sent_s >= self._run.measure_from_s:
            self._run.latencies_s.append(now_s - self._sent_s)
        if b" 200 " not in head[:14]:
            self._run.failed += 1
            self._run.problem = self._received[:300].decode(errors="replace")
        self._received = b""
        if now_s >= self._run.stop_at_s:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if time.perf_counter() < self._run.stop_at_s:
            self._run.failed += 1
            self._run.problem = f"the server closed a connection ({exc})"
        self._run.open -= 1
        if self._run.open == 0 and not self._run.done.done():
            self._run.done.set_result(None)

    def _send(self) -> None:
        self._run.sent += 1
        self._sent_s = time.perf_counter()
        self._transport.write(next(self._run.requests))


async def _drive(url: str, bodies: list[str], connections: int, seconds: float) -> dict[str, float | int | str]:
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\ncontent-length: "
    requests = [f"{head}{len(body)}\r\n\r\n{body}".encode() for body in bodies]
    loop = asyncio.get_running_loop()
    start_s = time.perf_counter() + _WARM_UP_S
    run = _Run(itertools.cycle(requests), start_s, start_s + seconds, loop.create_future())
    cpu_s = time.process_time()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(run), parts.hostname or "", parts.port or 80)
    await asyncio.wait_for(run.done, _WARM_UP_S + seconds + _PATIENCE_S)
    cpu_s = time.process_time() - cpu_s
    ordered = sorted(run.latencies_s)
    return {
        "requests": len(ordered),
        "sent": run.sent,
        "failed": run.failed,
        "problem": run.problem,
        "requests_per_s": len(ordered) / seconds,
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p99_ms": 1000 * ordered[int(len(ordered) * 0.99)],
        "client_cpu_share": cpu_s / (seconds + _WARM_UP_S),
    }


def _is_complete(head: bytes, body: bytes) -> bool:
    lower = head.lower()
    at = lower.find(b"content-length:")
    if at >= 0:
        return len(body) >= int(lower[at + 15 :].split(b"\r\n", 1)[0])
    if b"transfer-encoding: chunked" in lower:
        return body.endswith(b"0\r\n\r\n")
    raise RuntimeError(f"expected an answer with content-length or in chunks, found {head!r}")


def main() -> None:
    """Parse the arguments and print the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("bodies", type=Path, help="JSON list of request bodies")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0)
    arguments = parser.parse_args()
    bodies = json.loads(arguments.bodies.read_text())
    print(json.dumps(uvloop.run(_drive(arguments.url, bodies, arguments.connections, arguments.seconds))))


if __name__ == "__main__":
    main()
