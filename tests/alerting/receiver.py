"""Real servers that keep what they get: HTTP, which answers as it is told, and SMTP."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope, Session


class Receiver:
    """What came in, and how to answer: `statuses` one after the other, then 200, each after `delay_s`."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.taken: list[str] = []  # Idempotency-Key of everything that was answered 2xx
        self.methods: list[str] = []
        self.paths: list[str] = []
        self.statuses: list[int] = []
        self.headers: dict[str, str] = {}  # of every answer
        self.delay_s = 0.0
        self.url = ""

    def answer(self, method: str, path: str, key: str | None, body: bytes) -> int:
        """Keep one request and say which status it gets."""
        self.methods.append(method)
        self.paths.append(path)
        if body:
            self.bodies.append(json.loads(body))
        time.sleep(self.delay_s)
        status = self.statuses.pop(0) if self.statuses else 200
        if key and 200 <= status < 300:
            self.taken.append(key)
        return status


@contextmanager
def receiver(port: int = 0) -> Iterator[Receiver]:
    """A running receiver, on a free port if none is named."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._respond(self.rfile.read(int(self.headers["Content-Length"])))

        def do_GET(self) -> None:
            self._respond(b"")

        def _respond(self, body: bytes) -> None:
            status = state.answer(self.command, self.path, self.headers["Idempotency-Key"], body)
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            with suppress(BrokenPipeError):  # the sender waited no longer
                self.wfile.write(b"ok")

        def log_message(self, format: str, *args: Any) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}/services/T000/SECRET"
        yield state
        server.shutdown()
        thread.join()


def closed_port() -> int:
    """A port of 20000-29999 that nobody listens on."""
    for port in range(20_000 + hash(time.monotonic_ns()) % 9000, 30_000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


class Mailbox:
    """The e-mails a server took, and how it answers: `refusals` to recipients one after the other, then 250."""

    def __init__(self) -> None:
        self.emails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.refusals: list[str] = []
        self.port = 0

    async def handle_RCPT(
        self, _server: Any, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if self.refusals:
            return self.refusals.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        email = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(email, EmailMessage)
        self.emails.append(email)
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 kept"


@contextmanager
def smtp_server(port: int | None = None, **options: Any) -> Iterator[Mailbox]:
    """A running SMTP server, on a free port if none is named."""
    box = Mailbox()
    box.port = port or closed_port()
    controller = Controller(box, hostname="127.0.0.1", port=box.port, **options)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
