"""A request whose path, method and caller are in order, and what its headers say."""

import re

import msgspec

from mlops_ray.errors import RequestError
from mlops_ray.serve.arrow_rows import ARROW_STREAM
from mlops_ray.serve.http import Headers, Receive, read_body
from mlops_ray.serve.tensor_values import as_unit

__all__ = ["Asked", "deadline_s"]

_NUMBER = re.compile(rb"\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,3})?")
_TRACEPARENT = 55  # of version 00, W3C Trace Context
_ARROW_TYPES = (b"", ARROW_STREAM, b"application/octet-stream")


class Asked(msgspec.Struct, frozen=True, gc=False):
    """One request; `started_s` is of `time.perf_counter`."""

    action: str
    version: int | None
    headers: Headers
    receive: Receive
    started_s: float
    request_id: str | None
    query: bytes = b""

    def deadline_s(self, longest_ms: float) -> float:
        """When the answer is of no use any more; see `deadline_s`."""
        return deadline_s(self.headers, self.started_s, longest_ms=longest_ms)

    def unit(self) -> str | None:
        """Whom the rows of a stream are for, as far as a header says so.

        Raises:
            RequestError: 400 when it is no text, 422 when it is too long.
        """
        sent = self.headers.get(b"x-unit")
        if not sent:
            return None
        try:
            return as_unit(sent.decode(), "x-unit")
        except UnicodeDecodeError:
            raise RequestError("expected UTF-8 in the header x-unit", status=400) from None

    def trace(self) -> bytes | None:
        """The client's `traceparent`, if it is as long as one: it is kept in memory for a while."""
        sent = self.headers.get(b"traceparent")
        return sent if sent is not None and len(sent) == _TRACEPARENT else None

    def check_is_arrow(self) -> None:
        """Whether the body may be an Arrow stream.

        Raises:
            RequestError: 415 when its content type says something else.
        """
        kind = self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind not in _ARROW_TYPES:
            found = kind.decode("latin-1")
            raise RequestError(f"expected content-type {ARROW_STREAM.decode()}, found {found!r}", status=415)

    async def content(self, *, limit_bytes: int, deadline_s: float) -> bytes:
        """The body; see `read_body`."""
        return await read_body(
            self.headers, self.receive, limit_bytes=limit_bytes, within_s=deadline_s - self.started_s
        )


def deadline_s(headers: Headers, started_s: float, *, longest_ms: float) -> float:
    """When an answer is of no use any more: as the spec allows, or before, when the client gives up before.

    Raises:
        RequestError: 400 when the header says no time.
    """
    sent = headers.get(b"x-request-timeout-ms")
    if sent is None:
        return started_s + longest_ms / 1000
    if not _NUMBER.fullmatch(sent) or float(sent) == 0:
        found = sent.decode("latin-1")
        raise RequestError(f"expected milliseconds above 0 in x-request-timeout-ms, found {found!r}", status=400)
    return started_s + min(longest_ms, float(sent)) / 1000
