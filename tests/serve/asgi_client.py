"""Calls an ASGI application directly, as a server would."""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

Message = MutableMapping[str, Any]
App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def call(
    app: App,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    headers: Mapping[str, str] | None = None,
    chunks: int = 1,
    peer: str | None = None,
) -> Reply:
    """One request; the body arrives in `chunks` parts, from the address `peer`."""
    size = max(1, -(-len(body) // chunks))
    parts = [body[i : i + size] for i in range(0, len(body), size)] or [b""]
    incoming = [{"type": "http.request", "body": part, "more_body": i + 1 < len(parts)} for i, part in enumerate(parts)]
    sent: list[Message] = []

    async def receive() -> Message:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(k.lower().encode(), v.encode("latin-1")) for k, v in (headers or {}).items()]
    client = (peer, 50_000) if peer else None
    await app({"type": "http", "method": method, "path": path, "headers": raw, "client": client}, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    answered = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return Reply(sent[0]["status"], answered, sent[1]["body"])


async def post(app: App, path: str, content: Any, **options: Any) -> Reply:
    """POST `content` as JSON, or as it is when it is bytes."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return await call(app, "POST", path, body, **options)


async def get(app: App, path: str, **options: Any) -> Reply:
    """GET a path."""
    return await call(app, "GET", path, **options)
