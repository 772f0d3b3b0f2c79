"""A real HTTP server that keeps what is POSTed to it and answers as it is told."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """What came in, and how to answer: `statuses` one after the other, then 200, each after `delay_s`."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.methods: list[str] = []
        self.statuses: list[int] = []
        self.delay_s = 0.0
        self.url = ""

    def answer(self, method: str, body: bytes) -> int:
        """Keep one request and say which status it gets."""
        self.methods.append(method)
        if body:
            self.bodies.append(json.loads(body))
        time.sleep(self.delay_s)
        return self.statuses.pop(0) if self.statuses else 200


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A running receiver on a free port."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._respond(self.rfile.read(int(self.headers["Content-Length"])))

        def do_GET(self) -> None:
            self._respond(b"")

        def _respond(self, body: bytes) -> None:
            status = state.answer(self.command, body)
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "2")
            self.end_headers()
            with suppress(BrokenPipeError):  # the sender waited no longer
                self.wfile.write(b"ok")

        def log_message(self, format: str, *args: Any) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}/services/T000/SECRET"
        yield state
        server.shutdown()
        thread.join()
