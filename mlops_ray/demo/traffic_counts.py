"""What a traffic driver counts; safe to write in one thread and read in another."""

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Answer", "TrafficCounts", "TrafficTally"]

_KEPT_LATENCIES = 20_000


@dataclass(frozen=True)
class TrafficCounts:
    """The counters at one moment. Once the driver has stopped, `sent` is `answered` + `failed`."""

    sent: int  # requests, each counted once however often it was tried
    answered: int  # requests answered 200 with a usable prediction
    failed: int  # requests that never were
    retried: int  # extra attempts
    by_version: Mapping[str, int]  # answers by model version
    by_role: Mapping[str, int]  # answers by the role of that version (champion, canary)
    first_error: str | None  # what the first failed request met
    p50_ms: float | None  # latency of the newest 20,000 answers, retries included; None before the first
    p99_ms: float | None


@dataclass(frozen=True)
class Answer:
    """One answered request, kept so that its outcome can be sent later."""

    request_id: str
    row: Mapping[str, Any]  # as it came from the source of rows
    score: float


class TrafficTally:
    """The counters while they grow, and the newest `kept_answers` answers."""

    def __init__(self, *, kept_answers: int) -> None:
        self._lock = threading.Lock()
        self._sent = self._failed = self._retried = 0
        self._by_version: Counter[str] = Counter()
        self._by_role: Counter[str] = Counter()
        self._first_error: str | None = None
        self._latencies_ms: deque[float] = deque(maxlen=_KEPT_LATENCIES)
        self._answers: deque[Answer] = deque(maxlen=kept_answers)

    def sent(self) -> None:
        """One request goes out."""
        with self._lock:
            self._sent += 1

    def retried(self) -> None:
        """One request is tried again."""
        with self._lock:
            self._retried += 1

    def answered(self, answer: Answer, *, version: str, role: str, latency_ms: float) -> None:
        """One request got its prediction."""
        with self._lock:
            self._by_version[version] += 1
            self._by_role[role] += 1
            self._latencies_ms.append(latency_ms)
            self._answers.append(answer)

    def failed(self, error: str) -> None:
        """One request got none."""
        with self._lock:
            self._failed += 1
            self._first_error = self._first_error or error

    def snapshot(self) -> TrafficCounts:
        """The counters now."""
        with self._lock:
            latencies_ms = np.array(self._latencies_ms)
            p50_ms, p99_ms = np.percentile(latencies_ms, (50, 99)).tolist() if len(latencies_ms) else (None, None)
            return TrafficCounts(
                sent=self._sent,
                answered=self._by_version.total(),
                failed=self._failed,
                retried=self._retried,
                by_version=dict(self._by_version),
                by_role=dict(self._by_role),
                first_error=self._first_error,
                p50_ms=p50_ms,
                p99_ms=p99_ms,
            )

    def drain(self) -> list[Answer]:
        """The kept answers, oldest first; they are handed out once."""
        with self._lock:
            answers = list(self._answers)
            self._answers.clear()
            return answers
