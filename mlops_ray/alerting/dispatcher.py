"""Delivery that never blocks whoever raises an alert: a bounded queue and a thread for each sink."""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from mlops_ray.alerting.alert import Alert
from mlops_ray.alerting.sink import Sink

__all__ = ["Dispatcher", "Undelivered"]

_LOG = logging.getLogger(__name__)
_LONGEST_DELAY_S = 60.0
_LAST_WORD_S = 0.1  # for a thread that waits to try again; one in the middle of sending cannot be called back


@dataclass(frozen=True)
class Undelivered:
    """An alert that a sink did not get, and the last reason."""

    alert: Alert
    sink: str
    reason: str


class Dispatcher:
    """Hands each alert to every sink, so that a sink that is slow or away delays no other.

    A sink is tried `attempts` times, `first_delay_s` apart and twice as long with every further try. Each sink has a
    daemon thread of its own, and room for `capacity` alerts.
    """

    def __init__(
        self, sinks: Sequence[Sink], *, attempts: int = 5, first_delay_s: float = 0.5, capacity: int = 1000
    ) -> None:
        self._lanes = [_Lane(sink, attempts, first_delay_s, capacity) for sink in sinks]

    def submit(self, alert: Alert) -> bool:
        """Take an alert for delivery, at once; False (and counted in `dropped`) if a sink had no room for it."""
        taken = [lane.put(alert) for lane in self._lanes]
        return all(taken)

    @property
    def dropped(self) -> int:
        """Deliveries that were not taken because a sink had no room, or the dispatcher was closed."""
        return sum(lane.dropped for lane in self._lanes)

    @property
    def undelivered(self) -> tuple[Undelivered, ...]:
        """The newest deliveries that were given up, `capacity` for each sink at most."""
        return tuple(failed for lane in self._lanes for failed in lane.undelivered)

    def close(self, timeout_s: float) -> bool:
        """Take no more, wait for what was taken at most `timeout_s`, give up the rest; True if all was delivered."""
        deadline_s = time.monotonic() + timeout_s
        for lane in self._lanes:
            lane.finish()
        ended = [lane.join(max(0.0, deadline_s - time.monotonic())) for lane in self._lanes]
        return all(ended) and not self.undelivered


class _Lane:
    """The queue and the thread of one sink."""

    def __init__(self, sink: Sink, attempts: int, first_delay_s: float, capacity: int) -> None:
        self._sink, self._attempts, self._first_delay_s, self._capacity = sink, attempts, first_delay_s, capacity
        self._waiting: deque[Alert] = deque()
        self._changed = threading.Condition()
        self._finishing = False
        self._given_up = threading.Event()
        self.dropped = 0
        self.undelivered: deque[Undelivered] = deque(maxlen=capacity)
        self._thread = threading.Thread(target=self._run, name=f"alerts to {sink.name}", daemon=True)
        self._thread.start()

    def put(self, alert: Alert) -> bool:
        with self._changed:
            taken = not self._finishing and len(self._waiting) < self._capacity
            if taken:
                self._waiting.append(alert)
                self._changed.notify()
            else:
                self.dropped += 1
            return taken

    def finish(self) -> None:
        with self._changed:
            self._finishing = True
            self._changed.notify()

    def join(self, timeout_s: float) -> bool:
        self._thread.join(timeout_s)
        self._given_up.set()
        self._thread.join(_LAST_WORD_S)
        with self._changed:
            while self._waiting:
                self._give_up(self._waiting.popleft(), "the dispatcher was closed before it was sent")
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (alert := self._next()) is not None:
            self._deliver(alert)

    def _next(self) -> Alert | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._finishing)
            return self._waiting.popleft() if self._waiting else None

    def _deliver(self, alert: Alert) -> None:
        reason = ""
        for attempt in range(self._attempts):
            if attempt and self._given_up.wait(min(self._first_delay_s * 2 ** (attempt - 1), _LONGEST_DELAY_S)):
                break
            try:
                return self._sink.send(alert)
            except Exception as error:  # noqa: BLE001 - a thread's end: a broken sink must not stop later alerts
                reason = f"{type(error).__name__}: {error}"
        return self._give_up(alert, reason)

    def _give_up(self, alert: Alert, reason: str) -> None:
        _LOG.error("alert %s was not delivered to %s: %s", alert.id, self._sink.name, reason)
        self.undelivered.append(Undelivered(alert, self._sink.name, reason))
