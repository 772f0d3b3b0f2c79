"""Rows and requests of benchmarks as literals."""

from pathlib import Path
from typing import Any

from benchmarks.sampling import Load, Row
from benchmarks.steady_client import Request

__all__ = ["answered", "row"]


def row(part: str, system: str, *, per_s: tuple[float, ...], p99_ms: tuple[float, ...], **load: Any) -> Row:
    """A row of so many rounds."""
    samples = [
        {"requests_per_s": speed, "p50_ms": slow / 2, "p99_ms": slow, "client_cpu_share": 0.1, "requests": 100}
        for speed, slow in zip(per_s, p99_ms, strict=True)
    ]
    return Row.of(part, system, Load("http://127.0.0.1:1/x", Path("bodies.json"), 1.0, **load), samples)


def answered(
    due_s: float, *, version: int = 1, score: float = 0.5, epoch: int = 1, lost: tuple[str, ...] = ()
) -> Request:
    """A request of row 0 that was answered 10 ms after it was due."""
    return Request(0, due_s, due_s + 0.01, score, version, "champion", epoch, "", list(lost))
