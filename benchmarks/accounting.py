"""What became of every request of a soak, by what was going on when it was due. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.steady_client import Request

__all__ = ["STEADY", "Episode", "Row", "account", "broken_promises", "table"]

STEADY = "nothing else"
_SAME = 1e-9


@dataclass(frozen=True)
class Episode:
    """Something that went on for a while; seconds since the epoch."""

    name: str
    since_s: float
    until_s: float


@dataclass(frozen=True)
class Row:
    """The requests that were due in all episodes of one name."""

    episode: str
    times: int
    requests: int
    failed: int  # without any answer, whatever the client did
    wrong: int  # answered, but not what the version that is named predicts
    retried: int  # requests that were tried again
    lost_in_flight: int  # attempts whose connection broke before the answer
    refused: int  # attempts without a connection
    http_503: int
    p99_ms: float  # from when it was due, retries included
    slowest_ms: float
    longest_gap_ms: float  # between two answers
    first_error: str


def account(
    requests: Sequence[Request], episodes: Sequence[Episode], expected: Mapping[int, NDArray[np.float64]]
) -> list[Row]:
    """One row for each name, in the order of the episodes; requests of no episode come last.

    A request belongs to the episode it was due in, the last one where several overlap. `expected` has the right scores
    of all rows by version; a version that is not in it must not answer.
    """
    by_name: dict[str, list[Request]] = {name: [] for name in (*(e.name for e in episodes), STEADY)}
    for request in requests:
        covering = [e.name for e in episodes if e.since_s <= request.due_s < e.until_s]
        by_name[covering[-1] if covering else STEADY].append(request)
    times = Counter(episode.name for episode in episodes)
    gaps = _gaps(requests)
    rows = []
    for name, own in by_name.items():
        windows = [e for e in episodes if e.name == name]
        rows.append(_row(name, own, times[name], gap_s=_longest(gaps, windows), expected=expected))
    return [row for row in rows if row.requests]


def broken_promises(rows: Iterable[Row]) -> list[str]:
    """Every request gets the right answer, whatever goes on: what the rows have against that."""
    return [
        f"{row.episode}: {row.failed} requests without an answer, {row.wrong} with a wrong one ({row.first_error})"
        for row in rows
        if row.failed or row.wrong
    ]


def table(rows: Sequence[Row]) -> str:
    """The rows for people."""
    heads = ("times", "requests", "failed", "wrong", "retried", "in flight", "refused", "503", "p99 ms", "gap ms")
    lines = [f"{'while':34}" + "".join(f"{head:>10}" for head in heads)]
    for row in rows:
        values = (*list(asdict(row).values())[1:9], row.p99_ms, row.longest_gap_ms)
        lines.append(f"{row.episode:34}" + "".join(f"{value:>10.0f}" for value in values))
    return "\n".join(lines)


def _row(
    name: str, requests: Sequence[Request], times: int, *, gap_s: float, expected: Mapping[int, NDArray[np.float64]]
) -> Row:
    wrong = [r for r in requests if r.score is not None and not _is_right(r, expected)]
    failed = [r for r in requests if r.score is None]
    lost = Counter(met for request in requests for met in request.lost)
    waited_ms = [1000 * (r.ended_s - r.due_s) for r in requests] or [0.0]
    errors = [r.error for r in failed] + [f"version {r.version} said {r.score} of row {r.row}" for r in wrong]
    return Row(
        episode=name,
        times=times,
        requests=len(requests),
        failed=len(failed),
        wrong=len(wrong),
        retried=sum(bool(r.lost) for r in requests),
        lost_in_flight=lost["in flight"],
        refused=lost["refused"],
        http_503=lost["503"],
        p99_ms=round(float(np.percentile(waited_ms, 99)), 1),
        slowest_ms=round(max(waited_ms), 1),
        longest_gap_ms=round(1000 * gap_s, 1),
        first_error=errors[0] if errors else "",
    )


def _is_right(request: Request, expected: Mapping[int, NDArray[np.float64]]) -> bool:
    scores = expected.get(request.version)
    return scores is not None and request.score is not None and abs(scores[request.row] - request.score) <= _SAME


def _gaps(requests: Iterable[Request]) -> list[tuple[float, float]]:
    """From answer to answer."""
    return list(pairwise(sorted(r.ended_s for r in requests if r.score is not None)))


def _longest(gaps: Iterable[tuple[float, float]], windows: Sequence[Episode]) -> float:
    """The longest gap that overlaps a window; any at all without windows."""
    return max(
        (b - a for a, b in gaps if not windows or any(a < w.until_s and b > w.since_s for w in windows)), default=0.0
    )
