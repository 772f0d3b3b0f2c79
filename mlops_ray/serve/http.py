"""The few ASGI messages an inference server needs; no framework on the request path."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mlops_ray.errors import RequestError

__all__ = [
    "Receive",
    "Response",
    "Scope",
    "Send",
    "error_response",
    "header",
    "json_response",
    "read_body",
    "send_response",
]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_encoder = msgspec.json.Encoder()
_JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class Response:
    """A whole HTTP answer."""

    body: bytes
    status: int = 200
    content_type: bytes = _JSON
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())


def json_response(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`content` as JSON."""
    extra = tuple((k.encode(), v.encode()) for k, v in headers.items()) if headers else ()
    return Response(_encoder.encode(content), status, _JSON, extra)


def error_response(message: str, status: int, *, path: str = "", request_id: str = "") -> Response:
    """An error as a client can use it: what was expected and found, and where in the body."""
    content = {"error": message}
    if path:
        content["path"] = path
    if request_id:
        content["request_id"] = request_id
    headers = {"retry-after": "1"} if status == 503 else None
    return json_response(content, status=status, headers=headers)


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """The whole body.

    Raises:
        RequestError: 413 when it is larger than `limit_bytes`; 400 when the client went away.
    """
    declared = header(scope, b"content-length")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    message = await receive()
    body = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
        return body
    chunks, size = [body], len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestError("the client closed the connection before the body was complete", status=400)
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit_bytes:
            raise _too_large(limit_bytes)
    return b"".join(chunks)


def header(scope: Scope, name: bytes) -> bytes:
    """The value of a header by its lower-case name; empty when it was not sent."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


async def send_response(send: Send, response: Response) -> None:
    """Send the answer as one start and one body message."""
    headers = [
        (b"content-type", response.content_type),
        (b"content-length", str(len(response.body)).encode()),
        *response.headers,
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _too_large(limit_bytes: int) -> RequestError:
    return RequestError(
        f"the body is larger than the {limit_bytes} bytes that serve.max_body_bytes allows; send fewer rows", status=413
    )
