"""How one request came: when, until when it wants its answer, and what the client calls it."""

import time

import msgspec

__all__ = ["Call"]


class Call(msgspec.Struct, frozen=True, gc=False):
    """One request, apart from its body. Times are those of `time.perf_counter`."""

    started_s: float
    deadline_s: float
    """The earlier of what the spec allows and what the client asked for."""
    request_id: str | None = None
    version: int | None = None
    """Where the path names one."""
    trace: bytes | None = None
    """The client's `traceparent`."""

    def elapsed_s(self) -> float:
        """Seconds since the request came."""
        return time.perf_counter() - self.started_s

    def left_s(self) -> float:
        """Seconds until the answer is of no use any more; never below 0."""
        return max(0.0, self.deadline_s - time.perf_counter())
