"""Kills at the edges of the loop: the audit chain tells when one is passed, and a table who dies there."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.chaos_victims import VICTIMS, Victims, driver_pids
from mlops_ray.errors import MlopsRayError
from mlops_ray.store import Store

__all__ = ["EDGES", "Kill", "Watch", "victims_of"]

EDGES: Mapping[str, str] = {
    "alert.raised": "monitor -> control: the drift actor has told",
    "trigger.raised": "control: a cause to retrain",
    "trigger.submitted": "control -> train: guards passed, the job goes out",
    "dataset.committed": "data -> train: the new batch is a dataset version",
    "model_version.created": "train -> evaluation -> registry: gates judged, version written",
    "rollout.begun": "registry -> rollout: the delivery is asked for",
    "rollout.canary": "rollout -> serve: the first users meet the version",
    "rollout.promoting": "rollout -> serve: the evidence is in",
    "rollout.completed": "serve: every replica holds it",
    "trigger.succeeded": "train -> control: the job has ended well",
}
"""The audit event that an arrow of the architecture writes, and which arrow it is."""
_LOOK_S = 0.05


@dataclass(frozen=True)
class Kill:
    """One SIGKILL at one edge; `pid` None: there was no such process."""

    cycle: int
    edge: str
    victim: str
    pid: int | None
    at_s: float


def victims_of(cycle: int) -> dict[str, str]:
    """Who is killed at which edge in a cycle: after five cycles each victim was killed at each edge once.

    >>> victims_of(0)["alert.raised"], victims_of(1)["alert.raised"]
    ('control actor', 'drift actor')
    """
    return {edge: VICTIMS[(cycle + place) % len(VICTIMS)] for place, edge in enumerate(EDGES)}


@dataclass
class Watch:
    """Looks at the audit chain all the time, kills, and counts how many retraining drivers run side by side."""

    store: Store
    victims: Victims
    say: Callable[[str], None]
    kills: list[Kill] = field(default_factory=list)
    drivers_at_once: int = 0
    _cycle: int | None = None
    _waiting: dict[str, str] = field(default_factory=dict)
    _seen: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, cycle: int) -> None:
        """From now on the edges of a new cycle count, each the first time it is passed."""
        with self._lock:
            self._seen = self.store.verify().events
            self._cycle, self._waiting = cycle, victims_of(cycle)

    def start(self) -> None:
        """Watch on a thread until `end`."""
        for work in (self._look_for_edges, self._count_drivers):
            threading.Thread(target=self._forever, args=(work,), daemon=True).start()

    def end(self) -> None:
        """Kill nobody any more."""
        self._ended.set()

    @property
    def not_passed(self) -> list[str]:
        """Edges of this cycle that nobody has passed yet."""
        with self._lock:
            return list(self._waiting)

    def _forever(self, work: Callable[[], None]) -> None:
        while not self._ended.wait(_LOOK_S):
            try:
                work()
            except (MlopsRayError, OSError, RuntimeError) as error:
                self.say(f"chaos goes on after {type(error).__name__}: {error}")

    def _look_for_edges(self) -> None:
        with self._lock:
            cycle, seen = self._cycle, self._seen
        if cycle is None:
            return
        for event in self.store.events(limit=100):
            if event.seq <= seen:
                continue
            with self._lock:
                self._seen = event.seq
                victim = self._waiting.pop(event.kind, None)
            if victim is not None:
                self._kill(cycle, event.kind, victim)

    def _kill(self, cycle: int, edge: str, victim: str) -> None:
        # In a thread of its own: who waits for a driver to start must not miss the next edge.
        def kill() -> None:
            try:
                pid = self.victims.kill(victim)
            except Exception as error:  # noqa: BLE001 - whoever is dying does not answer; the table shows it
                self.say(f"{victim} at {edge}: not killed, {type(error).__name__}")
                pid = None
            self.kills.append(Kill(cycle, edge, victim, pid, time.time()))
            self.say(f"{edge}: SIGKILL for the {victim}" if pid else f"{edge}: no {victim} to kill")

        threading.Thread(target=kill, daemon=True).start()

    def _count_drivers(self) -> None:
        self.drivers_at_once = max(self.drivers_at_once, len(driver_pids(self.victims.workspace)))
        self._ended.wait(1.0)
