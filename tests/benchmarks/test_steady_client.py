"""The client of the soak keeps the retry policy and loses no request out of sight."""

import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest

from benchmarks.steady_client import BACKOFF_S, Request, SteadyClient

Behaviour = Callable[[int], str]
RATE = 50.0
SLOW = 2.0  # so that a request has had its retries before the next one is due


class _Server(socketserver.ThreadingTCPServer):
    """Answers as `behaviour` says of the nth request: "right", "break", a status, or "close" after a right answer."""

    daemon_threads, allow_reuse_address = True, True

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behaviour, self.seen, self.lock = behaviour, 0, threading.Lock()

    def next(self) -> str:
        with self.lock:
            self.seen += 1
            return self.behaviour(self.seen - 1)


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        while line := self.rfile.readline():
            assert line.startswith(b"POST /predict ")
            length = 0
            while (header := self.rfile.readline().strip().lower()) != b"":
                if header.startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            if not self._answer(json.loads(self.rfile.read(length)), self.server.next()):
                return

    def _answer(self, body: dict[str, Any], how: str) -> bool:
        """Whether the connection goes on."""
        if how == "break":
            return False
        status = int(how) if how.isdigit() else 200
        answer = {"request_id": body["request_id"], "model_version": "3", "role": "canary", "epoch": 7}
        content = json.dumps(answer | {"predictions": [{"score": body["records"][0]["f"]}]}).encode()
        close = b"connection: close\r\n" if how == "close" else b""
        self.wfile.write(b"HTTP/1.1 %d X\r\n%scontent-length: %d\r\n\r\n" % (status, close, len(content)) + content)
        return how != "close"


@contextmanager
def _served(behaviour: Behaviour) -> Iterator[str]:
    with _Server(behaviour) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/predict"
        server.shutdown()


def _asked(behaviour: Behaviour, *, requests: int = 6, rate_per_s: float = RATE) -> list[Request]:
    """The first requests, the answers being 0, 1, 0, ... when they are right."""
    with _served(behaviour) as url:
        client = SteadyClient(url, [{"f": 0.0}, {"f": 1.0}], rate_per_s=rate_per_s)
        with client:
            while sum(request.ended_s > 0 for request in client.log) < requests:
                time.sleep(0.01)
        return client.stop()[:requests]


def test_an_answer_is_read_whole() -> None:
    requests = _asked(lambda _: "right")
    assert [request.score for request in requests] == [0.0, 1.0] * 3
    assert {(r.version, r.role, r.epoch, r.error) for r in requests} == {(3, "canary", 7, "")}


def test_requests_are_due_at_the_rate_whatever_the_server_does() -> None:
    due = [request.due_s for request in _asked(lambda n: "503" if n % 2 else "right")]
    assert [round((b - a) * RATE) for a, b in pairwise(due)] == [1] * (len(due) - 1)


@pytest.mark.parametrize(("how", "met"), [("break", "in flight"), ("503", "503")])
def test_what_may_be_tried_again_is_tried_again_and_counted(how: str, met: str) -> None:
    first = _asked(lambda n: how if n < 2 else "right", requests=1, rate_per_s=SLOW)[0]
    assert (first.score, first.lost) == (0.0, [met, met])


def test_a_request_is_given_up_after_the_last_try() -> None:
    first = _asked(lambda _: "503", requests=1, rate_per_s=SLOW)[0]
    assert (first.score, len(first.lost)) == (None, 1 + len(BACKOFF_S))
    assert "lost 4 times" in first.error


def test_another_status_is_a_failure_at_once() -> None:
    first = _asked(lambda _: "404", requests=1, rate_per_s=SLOW)[0]
    assert (first.score, first.lost) == (None, [])
    assert first.error.startswith("HTTP 404")


def test_a_connection_that_the_server_closes_is_not_used_again() -> None:
    requests = _asked(lambda _: "close")
    assert [(request.error, request.lost) for request in requests] == [("", [])] * 6


def test_nobody_listening_is_a_refusal() -> None:
    with _served(lambda _: "right") as url:
        pass
    client = SteadyClient(url, [{"f": 0.0}], rate_per_s=RATE)
    with client:
        while not any(request.lost for request in client.log):
            time.sleep(0.01)
    assert client.log[0].lost[0] == "refused"
