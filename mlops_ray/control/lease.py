"""The right to drive rollouts and retrainings of a store: one holder at a time, and a number that fences others off.

A lease alone cannot keep a process that was paused (a swapped-out node, a stopped container) from going on when it
wakes up. So every write of a holder looks, in its own transaction, whether its epoch is still the newest.
"""

import os
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from mlops_ray.errors import ConflictError
from mlops_ray.store import Change, Event, LeaseRecord, Store

__all__ = ["CONTROL_LEASE", "FencedStore", "Lease", "new_owner"]

CONTROL_LEASE = "control"
_LASTS_S = 15.0


def new_owner() -> str:
    """A name for this process that no other one has: host, process id, and a number of its own."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:12]}"


class Lease:
    """One contender for the lease of a store."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float],
        owner: str | None = None,
        name: str = CONTROL_LEASE,
        lasts_s: float = _LASTS_S,
    ) -> None:
        self.owner = owner or new_owner()
        self._store = store
        self._clock = clock
        self._name = name
        self._lasts_s = lasts_s
        self._record: LeaseRecord | None = None

    @property
    def held(self) -> bool:
        """Whether this contender had it when it last asked, and the time has not run out since."""
        return self._record is not None and self._clock() < self._record.expires_s

    @property
    def epoch(self) -> int | None:
        """Of the time it had the lease last; None before the first."""
        return None if self._record is None else self._record.epoch

    def renew(self) -> bool:
        """Take it or go on holding it, if nobody else has it; whether it is held then."""
        now_s, found = self._clock(), self._store.lease(self._name)
        gone = found is not None and _is_gone(found.owner)
        taken = self._store.take_lease(self._name, self.owner, now_s=now_s, lasts_s=self._lasts_s, gone=gone)
        self._record = taken if taken.owner == self.owner else None
        return self.held

    def check(self, change: Change) -> None:
        """Refuse a transaction of a contender that does not have the newest epoch.

        Raises:
            ConflictError: it never had the lease, or somebody else took it since.
        """
        found, record = change.lease(self._name), self._record
        if found is None or record is None or (found.owner, found.epoch) != (record.owner, record.epoch):
            holder = f"{found.owner} with epoch {found.epoch}" if found is not None else "nobody"
            raise ConflictError(
                f"lease {self._name!r}: expected to hold the newest epoch, found {self.owner} with epoch "
                f"{self.epoch} and the lease with {holder}; nothing was written"
            )


class FencedStore(Store):
    """A store in which only the holder of the lease writes; everybody may read."""

    def __init__(self, url: str, lease: Lease) -> None:
        super().__init__(url)
        self._lease = lease

    @contextmanager
    def change(self, event: Event) -> Iterator[Change]:
        """See `Store.change`.

        Raises:
            ConflictError: the lease is somebody else's by now.
        """
        with super().change(event) as change:
            self._lease.check(change)
            yield change


def _is_gone(owner: str) -> bool:
    """Whether the owner is known to be dead: a process of this host that is not there. Another host's may be alive."""
    host, _, rest = owner.partition("/")
    pid = rest.partition("/")[0]
    return host == socket.gethostname() and pid.isdigit() and not psutil.pid_exists(int(pid))
