"""Carries records and labels from a replica to the drift actor, off the request path and safe to repeat."""

import asyncio
import logging
import time
from collections import deque
from functools import partial
from typing import Any, Protocol

from mlops_ray.errors import RequestError
from mlops_ray.serve.captured import Captured
from mlops_ray.serve.handover import Handover
from mlops_ray.serve.model_app import Label
from mlops_ray.serve.pairing import with_paired_scores
from mlops_ray.serve.recorder import Recorder, Served, Traffic

__all__ = ["Companion", "Mailbox", "Outbox"]

_log = logging.getLogger(__name__)
_LABELS_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 5.0
_PAUSE_S = 0.003


class Mailbox(Protocol):
    """The drift actor as a replica sees it. Everything is awaited until it is durable there."""

    async def receive(self, handover: Handover) -> None:
        """Keep records and merge a profile; a name that was received before changes nothing."""
        ...

    async def keep_labels(self, name: str, labels: list[Label]) -> None:
        """Keep outcomes."""
        ...


class Companion(Protocol):
    """What begins and ends together with the outbox."""

    def start(self) -> None:
        """On the running event loop."""
        ...

    async def close(self) -> None:
        """Within a few seconds, and without an error."""
        ...


class Outbox:
    """Hands over every `flush_s`; what could not be delivered is kept and offered again under the same name."""

    def __init__(
        self,
        mailbox: Mailbox,
        *,
        replica: str,
        flush_s: float,
        captured: Captured | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        self.recorder = Recorder(replica, captured=captured, traffic=traffic)
        self._mailbox = mailbox
        self._replica = replica
        self._flush_s = flush_s
        self._taken: list[Served] = []
        self._pending: deque[Handover] = deque()
        self._label_batches = 0
        self.companion: Companion | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to hand over on the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        if self.companion is not None:
            self.companion.start()

    async def flush(self) -> None:
        """Hand over everything recorded so far; what fails stays for the next time, in the same batches.

        As long as a batch waits, new records stay in the recorder, which is bounded and counts what it drops.
        """
        await self._deliver()
        if not self._taken:
            self._taken = self.recorder.take()
        if self._taken:
            # Whoever interrupts this finds everything where it was.
            paired = await with_paired_scores(self._taken)
            loop = asyncio.get_running_loop()
            try:
                # The requests answered meanwhile wait for a part of the work at most, not for all of it.
                work = partial(self.recorder.handovers, paired, pause=_pause)
                self._pending = deque(await loop.run_in_executor(None, work))
            except Exception as error:  # noqa: BLE001 - no delivery failed: these records would fail for ever
                self.recorder.dropped_rows += sum(len(one.scores) for one in self._taken)
                _log.error("records cannot be written, and are dropped: %s", _first_line(error))
            self._taken = []
            await self._deliver()

    async def close(self) -> None:
        """Hand over what is left, as far as that goes within a few seconds."""
        if self._task is not None:
            self._task.cancel()
        try:
            await asyncio.wait_for(self.flush(), _CLOSE_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - the border to another process, and the replica ends in any case
            _log.warning("records of the last seconds are lost: %s", _first_line(error))
        if self.companion is not None:
            await self.companion.close()

    async def _deliver(self) -> None:
        while self._pending:
            await self._mailbox.receive(self._pending[0])
            self._pending.popleft()

    async def keep_labels(self, labels: list[Label]) -> None:
        """Keep outcomes durably.

        Raises:
            RequestError: 503 when the drift actor does not answer; the client sends them again.
        """
        self._label_batches += 1
        name = f"{self._replica}-{self._label_batches:08d}"
        try:
            await asyncio.wait_for(self._mailbox.keep_labels(name, labels), _LABELS_TIMEOUT_S)
        except Exception as error:
            reason = _first_line(error)
            raise RequestError(f"labels cannot be kept now, send them again ({reason})", status=503) from error

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._flush_s)
            try:
                await self.flush()
            except Exception as error:  # noqa: BLE001 - the border to another process; the batch is offered again
                _log.warning("records are kept for later: %s", _first_line(error))


def _pause() -> None:
    time.sleep(_PAUSE_S)


def _first_line(error: Any) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
