"""The few ASGI messages an inference server needs; no framework on the request path."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Generator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mlops_ray.errors import DeadlineError, RequestError

__all__ = [
    "Headers",
    "Receive",
    "Response",
    "Scope",
    "Send",
    "error_response",
    "json_response",
    "read_body",
    "send_response",
]

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Mapping[bytes, bytes]
"""By lower-case name; of a header that was sent twice the last."""

_encoder = msgspec.json.Encoder()
_JSON = b"application/json"
# A body of this size comes with its headers: waiting for it needs no clock.
_IMPLIED = {
    401: {"www-authenticate": 'Bearer realm="mlops_ray"'},
    415: {"accept-encoding": "identity"},
    429: {"retry-after": "1"},
    503: {"retry-after": "1"},
}


@dataclass(frozen=True, slots=True)
class Response:
    """A whole HTTP answer."""

    body: bytes
    status: int = 200
    content_type: bytes = _JSON
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())


def json_response(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`content` as JSON; a 503 says when to come back, whatever it is about."""
    said = headers if status == 200 else {**_IMPLIED.get(status, {}), **(headers or {})}
    extra = tuple((k.encode(), v.encode()) for k, v in said.items()) if said else ()
    return Response(_encoder.encode(content), status, _JSON, extra)


def error_response(
    message: str,
    status: int,
    *,
    path: str = "",
    request_id: str = "",
    retry_after_s: float | None = None,
    allow: str = "",
) -> Response:
    """An error as a client can use it: what was expected and found, where in the body, and when to come back."""
    content = {"error": message}
    if path:
        content["path"] = path
    if request_id:
        content["request_id"] = request_id
    headers = {"allow": allow} if allow else {}
    if retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(retry_after_s)))
    return json_response(content, status=status, headers=headers)


async def read_body(headers: Headers, receive: Receive, *, limit_bytes: int, within_s: float) -> bytes:
    """The whole body, as it was sent: what its content encoding says is not undone.

    Raises:
        RequestError: 415 for a content encoding; 413 when it is larger than `limit_bytes`, whether or not it said so
            before; 400 when the client went away.
        DeadlineError: it did not come within `within_s`.
    """
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() not in (b"", b"identity"):
        found = encoding.decode("latin-1")
        raise RequestError(f"expected a body without content encoding, found content-encoding {found!r}", status=415)
    declared = headers.get(b"content-length", b"")
    size = int(declared) if declared.isdigit() and len(declared) < 20 else None
    if size is not None and size > limit_bytes:
        raise _too_large(limit_bytes)
    begun = _Begun(receive())
    if begun.message is not None and not begun.message.get("more_body", False):
        return await _whole(begun.message, receive, limit_bytes)
    try:
        async with asyncio.timeout(within_s):
            return await _whole(await begun, receive, limit_bytes)
    except TimeoutError:
        raise DeadlineError(f"the body did not come within {within_s * 1000:.0f} ms") from None


async def send_response(send: Send, response: Response) -> None:
    """Send the answer as one start and one body message."""
    headers = [
        (b"content-type", response.content_type),
        (b"content-length", str(len(response.body)).encode()),
        *response.headers,
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


class _Begun:
    """A message that is being received; `message` is there at once when nothing has to be waited for.

    So it is with most bodies: they come with their headers. No clock is started for them then, which would cost a
    quarter of all that is done for a small request. To find out, the first step is taken by hand.
    """

    def __init__(self, receiving: Awaitable[Message]) -> None:
        self._steps = receiving.__await__()
        self.message: Message | None = None
        try:
            self._waits_for = next(self._steps)
        except StopIteration as done:
            self.message = done.value

    def __await__(self) -> Generator[Any, None, Message]:
        if self.message is not None:
            return self.message
        try:
            yield self._waits_for
        except BaseException:
            self._steps.close()
            raise
        return (yield from self._steps)


async def _whole(message: Message, receive: Receive, limit_bytes: int) -> bytes:
    """The body that begins with a message."""
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False) and message["type"] == "http.request":
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
        return body
    chunks, size = [body], len(body)
    while message.get("more_body", False):
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit_bytes:
            raise _too_large(limit_bytes)
    if message["type"] == "http.disconnect":
        raise RequestError("the client closed the connection before the body was complete", status=400)
    return b"".join(chunks)


def _too_large(limit_bytes: int) -> RequestError:
    return RequestError(
        f"the body is larger than the {limit_bytes} bytes that are allowed here (serve.max_body_bytes for rows)",
        status=413,
    )
