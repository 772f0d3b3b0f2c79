"""Watching a source: ingest when an event says so or the time has come; the listing decides what is new."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from mlops_ray.data import IngestResult
from mlops_ray.data.events import EventQueue
from mlops_ray.errors import DataError

__all__ = ["Watch"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Watch:
    """One source under watch. Killed at any point, it loses nothing: the next one lists the source again."""

    ingest: Callable[[], IngestResult]
    queue: EventQueue | None
    every_s: float  # without an event, the source is listed as often
    clock: Callable[[], float]  # seconds that only grow
    sleep: Callable[[float], None]

    def once(self) -> IngestResult:
        """Take the events that are there, ingest, and delete them.

        Raises:
            DataError: the queue cannot be reached, or the batch is refused; then the events stay.
        """
        handles = self.queue.receive(0) if self.queue is not None else ()
        result = self.ingest()
        if self.queue is not None:
            self.queue.delete(handles)
        return result

    def forever(self, tell: Callable[[IngestResult], None]) -> None:
        """Look at once, then whenever an event arrives or `every_s` has passed; `tell` hears of every look.

        A batch that is refused is logged, its events stay in the queue (which may hand them to a dead-letter queue),
        and the next look tries again.
        """
        handles: tuple[str, ...] = ()
        while True:
            try:
                tell(self.ingest())
                if self.queue is not None:
                    self.queue.delete(handles)
            except DataError as error:
                _log.warning("%s", error)
            handles = self._wait()

    def _wait(self) -> tuple[str, ...]:
        """The events that ended the wait; none when the time did."""
        end_s = self.clock() + self.every_s
        while (left_s := end_s - self.clock()) > 0:
            if self.queue is None:
                self.sleep(left_s)
                continue
            try:
                handles = self.queue.receive(left_s)
            except DataError as error:  # the clock still wakes us up
                _log.warning("%s", error)
                self.sleep(max(0.0, end_s - self.clock()))
                continue
            if handles:
                return handles
        return ()
