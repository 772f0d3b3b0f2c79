"""One version under delivery beside the champion: makes blocks of evidence of requests, and knows who counted before.

The tests of a rollout look at the first bad request of a unit in the whole delivery, on whichever side it is (see
`mlops_ray.rollout.Block`): so a unit that fails again and again is one event, a unit that failed on the champion before
the share grew is no news on the canary, and copies compete with their originals on equal terms.
"""

import logging
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from mlops_ray.monitor.requests import Mask, Requests
from mlops_ray.monitor.time_sketch import TimeSketch
from mlops_ray.monitor.unit_set import CAPACITY, UnitSet
from mlops_ray.monitor.yardstick import Threshold, Yardstick
from mlops_ray.rollout import BUCKETS, Block

__all__ = ["Comparison", "UnitTotals"]

_log = logging.getLogger(__name__)
_EPOCHS = 2  # whose units are told apart: replicas change from one route to the next within seconds

_Pair = tuple[int, int]


@dataclass(frozen=True)
class UnitTotals:
    """Units that were met in one epoch, for the sample ratio."""

    epoch: int
    share: float
    canary: int
    champion: int


class Comparison:
    """Memory is bounded: a kind of event of which a million units were counted is counted no further."""

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._seen: dict[str, UnitSet] = defaultdict(self._set)
        self._met: dict[int, UnitSet] = {}
        self._totals: dict[int, UnitTotals] = {}
        self._times = TimeSketch()

    def block(self, requests: Requests, epoch: int, yardstick: Yardstick) -> Block:
        """The evidence in these requests; they are known from now on."""
        copies = requests.share == 0.0
        canary = requests.shadow if copies else requests.canary & ~requests.shadow
        champion = requests.champion
        slow = requests.waited_ms > yardstick.slow_ms
        errors = self._bad("errors", requests, requests.failed, canary, champion)
        # Nobody waits for a copy.
        slower = (0, 0, 0, 0) if copies else self._bad("slow", requests, slow, canary, champion)
        timed, quantiles = self._timed(requests, canary, champion, yardstick)
        return Block(
            canary_requests=_count(canary),
            champion_requests=_count(champion),
            canary_errors=errors[0],
            champion_errors=errors[1],
            canary_repeated_errors=errors[2],
            champion_repeated_errors=errors[3],
            canary_slow=slower[0],
            champion_slow=slower[1],
            canary_repeated_slow=slower[2],
            champion_repeated_slow=slower[3],
            quantiles=quantiles,
            timed=timed,
            scores=self._scores(requests, yardstick, copies=copies),
            paired=(_count(requests.paired & requests.canary), _count(requests.disagreeing & requests.canary)),
            units=self._units(requests, epoch),
            share=requests.share,
        )

    @property
    def units(self) -> tuple[UnitTotals, ...]:
        """Units met by epoch, oldest first."""
        return tuple(self._totals[epoch] for epoch in sorted(self._totals))

    def _bad(self, kind: str, requests: Requests, bad: Mask, canary: Mask, champion: Mask) -> tuple[int, int, int, int]:
        """First bad requests of a unit on the canary and the champion, and further ones on each of them."""
        events = bad & (canary | champion)
        first = self._first(kind, requests, events)
        again = events & ~first
        return _count(first & canary), _count(first & champion), _count(again & canary), _count(again & champion)

    def _timed(
        self, requests: Requests, canary: Mask, champion: Mask, yardstick: Yardstick
    ) -> tuple[_Pair, dict[str, _Pair]]:
        """Requests compared with the champion's quantiles of what came before them, and first ones of a unit above."""
        known = requests.own & np.isfinite(requests.predict_ms)
        thresholds = yardstick.thresholds(self._times)
        self._times.add(requests.predict_ms[known & champion])
        if not thresholds or any(self._seen[threshold.name].full for threshold in thresholds):
            return (0, 0), {}
        canary, champion = known & canary, known & champion
        quantiles = {t.name: self._above(t, requests, canary, champion) for t in thresholds}
        return (_count(canary), _count(champion)), quantiles

    def _above(self, threshold: Threshold, requests: Requests, canary: Mask, champion: Mask) -> _Pair:
        above = canary & (requests.predict_ms > threshold.canary_ms)
        above |= champion & (requests.predict_ms > threshold.champion_ms)
        first = self._first(threshold.name, requests, above)
        return _count(first & canary), _count(first & champion)

    def _scores(
        self, requests: Requests, yardstick: Yardstick, *, copies: bool
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First scores of units; of copies both versions' scores of the same row, since a copy is never first."""
        if copies:
            both = requests.shadow & np.isfinite(requests.scores) & np.isfinite(requests.paired_scores)
            first = self._first("scores", requests, both)
            return yardstick.bins(requests.scores[first]), yardstick.bins(requests.paired_scores[first])
        answered = requests.own & ~requests.shadow & np.isfinite(requests.scores)
        first = self._first("scores", requests, answered)
        sides = (requests.scores[first & side] for side in (requests.canary, requests.champion))
        canary, champion = (yardstick.bins(scores) for scores in sides)
        return canary, champion

    def _units(self, requests: Requests, epoch: int) -> _Pair:
        late = len(self._met) == _EPOCHS and epoch < min(self._met)
        if late or not 0 < round(requests.share * BUCKETS) < BUCKETS:
            return 0, 0
        met = self._met.setdefault(epoch, self._set())
        self._met = {kept: self._met[kept] for kept in sorted(self._met)[-_EPOCHS:]}
        places = np.flatnonzero(~requests.shadow)
        canary = requests.canary[places[met.first(requests.units[places])]]
        new = (_count(canary), _count(~canary))
        before = self._totals.get(epoch, UnitTotals(epoch, requests.share, 0, 0))
        self._totals[epoch] = UnitTotals(epoch, requests.share, before.canary + new[0], before.champion + new[1])
        return new

    def _first(self, kind: str, requests: Requests, events: Mask) -> Mask:
        """Which of the events are the first of their unit in this delivery."""
        seen, first = self._seen[kind], np.zeros(len(events), dtype=bool)
        places = np.flatnonzero(events)
        room = not seen.full
        first[places[seen.first(requests.units[places])]] = True
        if room and seen.full:
            _log.warning("%s are counted no further: %d units were", kind, len(seen))
        return first

    def _set(self) -> UnitSet:
        return UnitSet(capacity=self._capacity)


def _count(mask: Mask) -> int:
    return int(np.count_nonzero(mask))
