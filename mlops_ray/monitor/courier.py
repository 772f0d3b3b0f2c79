"""Sends what waits in the outbox of a model, in threads of its own."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from mlops_ray.errors import AlertError, StoreError
from mlops_ray.monitor.alert_claims import LEASE_S, AlertClaims, Claim
from mlops_ray.monitor.alert_outbox import AlertOutbox
from mlops_ray.store import Store

__all__ = ["Courier"]

_log = logging.getLogger(__name__)
_POLL_S = 1.0
_CLOSING_POLL_S = 0.02


@dataclass(frozen=True)
class _Result:
    claim: Claim
    error: AlertError | None


class Courier:
    """Begins with what an earlier process left, and goes on until it is closed.

    Each route sends one message at a time, and none waits for another. Threads are daemons: a process that ends, or is
    killed, leaves what it was sending to the next one, which waits for the lease to end.
    """

    def __init__(
        self, store: Store, outbox: AlertOutbox, *, lease_s: float = LEASE_S, clock: Callable[[], float] = time.time
    ) -> None:
        self._outbox = outbox
        self._claims = AlertClaims(store, outbox, lease_s=lease_s)
        self._clock = clock
        self._under_way: dict[str, Claim] = {}
        self._results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        self._unwritten: list[_Result] = []
        self._renewed_s = 0.0
        self._poll_s = min(_POLL_S, lease_s / 8)
        self._hurry = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"alerts of {outbox.model}", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float) -> bool:
        """Send at once what nothing holds back, each once, and end; whether that was done in time.

        What is still being sent then ends in the background; what failed stays in the store.
        """
        self._hurry.set()
        self._outbox.changed.set()
        deadline_s = time.monotonic() + timeout_s
        done = False
        while not done and time.monotonic() < deadline_s and self._thread.is_alive():
            time.sleep(_CLOSING_POLL_S)
            done = not self._under_way and not self._unwritten and self._idle()
        self._closed.set()
        self._outbox.changed.set()
        return done

    def _idle(self) -> bool:
        try:
            return self._claims.idle(self._clock())
        except StoreError:
            return False

    def _run(self) -> None:
        while not self._closed.is_set() or self._under_way:
            self._outbox.changed.wait(_CLOSING_POLL_S if self._hurry.is_set() else self._poll_s)
            self._outbox.changed.clear()
            try:
                self._step()
            except StoreError as error:
                _log.warning("alerts of %s: the store does not answer, goes on: %s", self._outbox.model, error)
            except Exception:  # noqa: BLE001 - the thread's heart: without it nobody is told anything any more
                _log.exception("alerts of %s: goes on", self._outbox.model)

    def _step(self) -> None:
        self._write_results()
        now_s = self._clock()
        if self._under_way and now_s - self._renewed_s > self._claims.lease_s / 4:
            self._claims.renew(list(self._under_way.values()), now_s)
            self._renewed_s = now_s
        if self._closed.is_set():
            return
        for claim in self._claims.claim(now_s, busy=set(self._under_way), hurry=self._hurry.is_set()):
            name = f"alert to {claim.route.name}"
            threading.Thread(target=self._send, args=(claim,), name=name, daemon=True).start()
            if not self._under_way:
                self._renewed_s = now_s
            self._under_way[claim.route.name] = claim

    def _send(self, claim: Claim) -> None:
        error: AlertError | None = None
        try:
            claim.route.sink.send(claim.message)
        except AlertError as found:
            error = found
        except Exception as found:  # noqa: BLE001 - a sink's bug is a failed delivery like any other
            # Its text may hold anything, a secret too.
            error = AlertError(f"{claim.route.name}: {type(found).__name__} in the sink")
        self._results.put(_Result(claim, error))
        self._outbox.changed.set()

    def _write_results(self) -> None:
        """What was sent stays here until the store knows it."""
        while not self._results.empty():
            self._unwritten.append(self._results.get())
        while self._unwritten:
            result, now_s = self._unwritten[0], self._clock()
            if result.error is None:
                self._claims.sent(result.claim, now_s)
            else:
                first = result.claim.deliveries[0].attempts == 1
                _log.log(logging.WARNING if first else logging.DEBUG, "alert not delivered: %s", result.error)
                self._claims.failed(result.claim, result.error, now_s)
            del self._unwritten[0]
            self._under_way.pop(result.claim.route.name, None)
