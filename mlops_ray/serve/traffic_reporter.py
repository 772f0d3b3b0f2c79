"""Tells the drift actor what a replica served, every few seconds and safe to repeat."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Protocol

from mlops_ray.serve.admission import Admission
from mlops_ray.serve.http_counts import HttpCounts
from mlops_ray.serve.loaded import LoadedModel
from mlops_ray.serve.recorder import Recorder
from mlops_ray.serve.tracing import Tracing
from mlops_ray.serve.traffic_log import TrafficLog
from mlops_ray.telemetry import Tally, TrafficReport

__all__ = ["CountedDoor", "TrafficReporter"]

_log = logging.getLogger(__name__)
_CLOSE_TIMEOUT_S = 3.0
_PAUSE_S = 0.001
Tell = Callable[[TrafficReport], Awaitable[None]]
"""Returns when the report has arrived."""


class CountedDoor(Protocol):
    """A replica's door as far as it is counted."""

    http_counts: HttpCounts
    admission: Admission

    @property
    def models(self) -> Iterable[LoadedModel]:
        """Versions in memory, the one it stands for first."""
        ...


class TrafficReporter:
    """One for each replica, on its event loop. A report that did not arrive is offered again under its number, and what
    is counted meanwhile comes with the next one."""

    def __init__(
        self,
        replica: str,
        door: CountedDoor,
        recorder: Recorder,
        log: TrafficLog,
        *,
        tell: Tell,
        tracing: Tracing | None = None,
        role: str,
        every_s: float,
    ) -> None:
        self._replica = replica
        self._door = door
        self._recorder = recorder
        self._log = log
        self._tell = tell
        self._tracing = tracing
        self._role = role
        self._every_s = every_s
        self._number = 0
        self._offered: TrafficReport | None = None
        self._dropped = (0, 0)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to report on the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def report(self) -> None:
        """Tell what was counted; what cannot be told now is told the next time."""
        if self._offered is not None:
            await self._tell(self._offered)
            self._offered = None
        # A report of nothing says that the replica lives.
        self._offered = await self._next()
        await self._tell(self._offered)
        self._offered = None

    async def close(self) -> None:
        """Tell what is left, as far as that goes within a few seconds."""
        if self._task is not None:
            self._task.cancel()
        try:
            await asyncio.wait_for(self.report(), _CLOSE_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - the border to another process, and the replica ends in any case
            _log.warning("counts of the last seconds are lost: %s", error)
        if self._tracing is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._tracing.close)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.report()
            except Exception as error:  # noqa: BLE001 - the border to another process; the report is offered again
                _log.warning("counts are kept for later: %s", error)

    async def _next(self) -> TrafficReport:
        batches = self._log.take()
        loop = asyncio.get_running_loop()
        tally, last_s = await loop.run_in_executor(None, partial(self._log.counted, batches, pause=_pause))
        if self._tracing is not None:
            await loop.run_in_executor(None, self._tracing.trace, batches)
        self._count_door(tally)
        self._number += 1
        models = list(self._door.models)
        return TrafficReport(
            replica=self._replica,
            number=self._number,
            version=models[0].version,
            role=self._role,
            tally=tally,
            last_request_s=last_s,
            gauges={
                "in_flight": self._door.admission.in_flight.count,
                "in_flight_limit": self._door.admission.in_flight.most,
                "queued_rows": sum(model.waiting_rows for model in models),
                "records_waiting": len(self._recorder),
            },
        )

    def _count_door(self, tally: Tally) -> None:
        statuses, reasons = self._door.http_counts.take()
        for status, count in statuses.items():
            tally.add(("mlops_ray_http_responses_total", status), count)
        for reason, count in reasons.items():
            tally.add(("mlops_ray_rejected_total", reason), count)
        for model in self._door.models:
            tally.take(("mlops_ray_batch_rows", str(model.version)), model.take_batches())
        now, before = (self._recorder.dropped_rows, self._recorder.dropped_copies), self._dropped
        self._dropped = now
        tally.add(("mlops_ray_records_dropped_total",), now[0] - before[0])
        tally.add(("mlops_ray_copies_dropped_total",), now[1] - before[1])


def _pause() -> None:
    time.sleep(_PAUSE_S)
