"""Counts what a replica served, by version and role, off the request path.

A request costs nothing here: the list of records that the recorder lets go anyway is folded, group by group, on another
thread. Only a request of which no record is kept is noted by itself.

Why these counts go to the drift actor, and from there to one page of metrics, and not into Ray's own metrics
(`ray.util.metrics`): there an inc and an observe cost 39 us together where the champion answers in 20; a histogram
takes values one by one; a gauge vanishes 20 s after it was last set; and what a replica that ended had counted is gone
from the page. Here sums are exact, survive every replica, and need one scrape target whatever the number of nodes.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mlops_ray.serve.recorder import Served
from mlops_ray.telemetry import Tally

__all__ = ["TrafficLog"]

_AT_ONCE = 1024
_MOST = 20_000
_DURATION, _QUEUE, _PREDICT = (f"mlops_ray_request_{name}_seconds" for name in ("duration", "queue", "predict"))


class _Group(NamedTuple):
    """Requests that are counted alike."""

    version: int
    role: str
    assigned: str
    canary: int
    status: int
    failed: bool


class TrafficLog:
    """Served requests until they are counted; `seen` and `let_go` belong to the event loop.

    `slow_ms`: in queue and model, more than this is slow.
    """

    def __init__(self, slow_ms: float) -> None:
        self._slow_ms = slow_ms
        self._batches: list[Sequence[Served]] = []
        self._unrecorded: list[Served] = []

    def seen(self, served: Served) -> None:
        """One request of which no record is kept."""
        self._unrecorded.append(served.without_rows())
        if len(self._unrecorded) >= _MOST:
            self._batches.append(self._unrecorded)
            self._unrecorded = []

    def let_go(self, batch: Sequence[Served]) -> None:
        """Requests whose records are on their way."""
        if batch:
            self._batches.append(batch)

    def take(self) -> list[Sequence[Served]]:
        """All that was not counted yet, for `counted`."""
        taken = [*self._batches, *([self._unrecorded] if self._unrecorded else [])]
        self._batches, self._unrecorded = [], []
        return taken

    def counted(
        self, batches: Sequence[Sequence[Served]], *, pause: Callable[[], None] = lambda: None
    ) -> tuple[Tally, float | None]:
        """Their counts, and when the newest request of a user was answered. Pure work: safe on any thread."""
        tally, newest_s = Tally(), None
        for batch in batches:
            for start in range(0, len(batch), _AT_ONCE):
                part = batch[start : start + _AT_ONCE]
                groups: dict[_Group, list[Served]] = defaultdict(list)
                for s in part:
                    groups[_Group(s.version, s.role, s.assigned, s.canary, s.status, s.error is not None)].append(s)
                for group, several in groups.items():
                    self._count(tally, group, several)
                users = max((s.time_s for s in part if s.assigned != "shadow"), default=newest_s)
                newest_s = users if newest_s is None or users is None else max(newest_s, users)
                pause()
        return tally, newest_s

    def _count(self, tally: Tally, group: _Group, served: Sequence[Served]) -> None:
        role = group.assigned if group.assigned in ("shadow", "direct") else group.role
        by = (str(group.version), role)
        fell_back = group.assigned == "canary" and group.role == "champion" and group.failed
        tally.add(("mlops_ray_requests_total", *by, str(group.status)), len(served))
        tally.add(("mlops_ray_rows_total", *by), sum(len(s.scores) for s in served))
        asked = (str(group.canary), "canary") if fell_back else by
        tally.add(("mlops_ray_asked_total", *asked), len(served))
        tally.add(("mlops_ray_errors_total", *asked), len(served) if group.failed else 0)
        if fell_back:
            tally.add(("mlops_ray_fallbacks_total", str(group.canary)), len(served))
        waited_ms = np.array([s.latency_ms for s in served])
        if role != "shadow":  # nobody waits for a copy
            tally.observe((_DURATION, *by), waited_ms / 1000)
        if group.status == 200 and (fell_back or not group.failed):
            queue_ms, predict_ms = (np.array([getattr(s, part) for s in served]) for part in ("queue_ms", "predict_ms"))
            tally.observe((_QUEUE, *by), queue_ms / 1000)
            tally.observe((_PREDICT, *by), predict_ms / 1000)
            waited_ms = queue_ms + predict_ms
        tally.add(("mlops_ray_slow_total", *by), int((waited_ms > self._slow_ms).sum()))
