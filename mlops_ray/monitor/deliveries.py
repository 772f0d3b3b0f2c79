"""Evidence on the versions under delivery of one model, complete whenever the process began."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from mlops_ray.lake import Lake
from mlops_ray.monitor.comparison import UnitTotals
from mlops_ray.monitor.evidence_ledger import Cursor, EvidenceLedger
from mlops_ray.monitor.numbers import Numbers, number_of
from mlops_ray.monitor.requests import REQUEST_COLUMNS
from mlops_ray.monitor.yardstick import Yardstick
from mlops_ray.records import RecordLog
from mlops_ray.rollout import Block, Phase
from mlops_ray.store import RolloutRecord

__all__ = ["Deliveries", "Delivery", "Reading", "delivery_of"]

_ASKED = (Phase.CANARY, Phase.PAUSED, Phase.PROMOTING, Phase.ROLLING_BACK)


@dataclass(frozen=True)
class Delivery:
    """A rollout as far as its records go."""

    version: int
    since_epoch: int
    since_s: float | None
    """When requests first reached the version; None before."""


def delivery_of(rollout: RolloutRecord) -> Delivery:
    """Since when, and since which route, records belong to a rollout, as its state says."""
    cursor = Cursor(*rollout.state.get("cursor", ()))
    marks = rollout.state.get("rollout", {}).get("history", ())
    met_s = next((mark["at_s"] for mark in marks if mark["phase"] == Phase.CANARY), rollout.created_s)
    return Delivery(rollout.version, cursor.since_epoch, met_s if rollout.phase in _ASKED else None)


@dataclass(frozen=True)
class Reading:
    """What has to be read before a new process knows what the one before it knew."""

    log: RecordLog
    since_s: float
    since_epochs: Mapping[int, int]
    """First epoch of each version's delivery."""
    before: int
    """Hand-overs from this number on come by themselves."""
    yardstick: Yardstick

    def ledger(self) -> EvidenceLedger:
        """Fold the hand-overs again, in the order in which they became durable. Takes time; needs no lock."""
        ledger = EvidenceLedger(self.yardstick)
        ledger.follow(self.since_epochs)
        files = [(number_of(self.log.note_of(path)), path) for path in self.log.served_files(self.since_s)]
        for number, path in sorted(files):
            if number < self.before:
                records = self.log.served_in(path, REQUEST_COLUMNS)
                ledger.add(number, records.filter(pc.field("canary").isin(list(self.since_epochs))))
        return ledger


class Deliveries:
    """The ledger of a model; while it has to be made again from the records, nobody learns anything.

    A hand-over gets its number and is written with it, is acknowledged, and counts, in this order. So the records hold
    all that a reader was ever given, under the same numbers. Belongs to one thread at a time.
    """

    def __init__(self, log: RecordLog, lake: Lake, model: str, *, yardstick: Yardstick) -> None:
        self._log = log
        self._numbers = Numbers(lake, model)
        self._yardstick = yardstick
        self._followed: dict[int, Delivery] | None = None
        self._ledger: EvidenceLedger | None = None
        self._reading: Reading | None = None
        self._waiting: list[tuple[int, pa.Table]] = []

    def keep(self, name: str, records: pa.Table, time_s: float) -> bool:
        """Make a hand-over durable, and count it; False when it was kept before, which changes nothing."""
        number, stamped = self._numbers.stamp(records)
        try:
            if not self._log.append_served(name, stamped, time_s):
                return False
        except Exception:
            # It may be there all the same, and would be found after a restart: what the records hold is what counts.
            self._ledger = self._reading = None
            raise
        if self._ledger is not None:
            self._ledger.add(number, records)
        elif self._reading is not None:
            self._waiting.append((number, records.select(list(REQUEST_COLUMNS))))
        return True

    def measure_by(self, yardstick: Yardstick) -> None:
        """The champion, and what its answers are compared by, is another one from now on."""
        self._yardstick = yardstick
        if self._ledger is not None:
            self._ledger.yardstick = yardstick

    def follow(self, rollouts: Sequence[RolloutRecord]) -> None:
        """Evidence is kept for these rollouts, which are all that are under way."""
        before, self._followed = self._since_epochs, {r.version: delivery_of(r) for r in rollouts}
        now = self._since_epochs
        if self._ledger is None and now.keys() - before.keys():
            self._reading = None  # it would leave them out
        if any(before.get(version, epoch) != epoch for version, epoch in now.items()):
            # The same version is delivered once more, and this moment may lie between its first records.
            self._ledger = self._reading = None
        if self._ledger is None and self._since_s is None:
            self._ledger, self._reading = EvidenceLedger(self._yardstick), None
        if self._ledger is not None:
            self._ledger.follow(self._since_epochs)

    def reading(self) -> Reading | None:
        """What has to be read now; an earlier reading that was not taken is in vain. None when nothing has to be."""
        since_s = self._since_s
        if self._ledger is not None or since_s is None:
            return None
        before = self._numbers.upcoming()
        self._waiting = []
        self._reading = Reading(self._log, since_s, self._since_epochs, before, self._yardstick)
        return self._reading

    def take(self, reading: Reading, ledger: EvidenceLedger) -> None:
        """Go on with the ledger that a reading gave, and with what came meanwhile."""
        if reading is not self._reading:
            return
        ledger.yardstick = self._yardstick
        for number, records in self._waiting:
            ledger.add(number, records)
        ledger.follow(self._since_epochs)
        self._ledger, self._reading, self._waiting = ledger, None, []

    def evidence(self, canary: int, cursor: Cursor) -> tuple[Cursor, list[Block]]:
        """See `EvidenceLedger.since`."""
        return (cursor, []) if self._ledger is None else self._ledger.since(canary, cursor)

    def units(self, canary: int) -> tuple[UnitTotals, ...]:
        """See `EvidenceLedger.units`."""
        return () if self._ledger is None else self._ledger.units(canary)

    @property
    def followed(self) -> tuple[Delivery, ...]:
        """The versions under delivery."""
        return tuple((self._followed or {}).values())

    @property
    def _since_epochs(self) -> dict[int, int]:
        return {delivery.version: delivery.since_epoch for delivery in self.followed}

    @property
    def _since_s(self) -> float | None:
        """Since when there are records of the versions under delivery."""
        return min((d.since_s for d in self.followed if d.since_s is not None), default=None)
