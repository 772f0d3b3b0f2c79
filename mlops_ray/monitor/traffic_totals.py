"""What all replicas of a model have counted, as one: totals for Prometheus, and a window for the judge."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from mlops_ray.monitor.operational_judge import OperationalWindow
from mlops_ray.telemetry import METRICS, Tally, TrafficReport

__all__ = ["TrafficTotals"]

_ALIVE_S = 30.0
_FORGOTTEN_S = 3600.0
_VERSIONS = 8
_PANES = 20
_FAILED, _SLOW = "mlops_ray_errors_total", "mlops_ray_slow_total"
_REQUESTS = "mlops_ray_asked_total"


@dataclass
class _Replica:
    """The newest report of a replica."""

    number: int
    seen_s: float
    report: TrafficReport


class TrafficTotals:
    """Sums of reports, each of which counts once however often it comes; bounded in versions and replicas.

    The sums begin at 0 with this process, as those of any counter do; `rate` and `increase` know that. Belongs to one
    thread at a time.
    """

    def __init__(self) -> None:
        self._tally = Tally()
        self._replicas: dict[str, _Replica] = {}
        self._active: dict[str, float] = {}  # version: when it was asked last
        self._panes: dict[int, dict[tuple[str, str], int]] = {}
        self._pane_s = 0.0
        self._last_request_s: float | None = None

    def add(self, report: TrafficReport, now_s: float, *, window_s: float) -> bool:
        """Take a report in; False when it came before."""
        known = self._replicas.get(report.replica)
        if known is not None and report.number <= known.number:
            return False
        self._replicas[report.replica] = _Replica(report.number, now_s, report)
        self._replicas = {r: seen for r, seen in self._replicas.items() if now_s - seen.seen_s < _FORGOTTEN_S}
        self._tally.merge(report.tally)
        for series in report.tally.counts:
            if "version" in METRICS[series[0]].labels:
                self._active[series[1]] = now_s
        self._forget_versions()
        self._add_pane(report.tally, now_s, window_s)
        if report.last_request_s is not None:
            self._last_request_s = max(report.last_request_s, self._last_request_s or 0.0)
        return True

    def window(self, version: int, now_s: float, *, size_s: float) -> OperationalWindow:
        """What `version` was asked as champion in the newest `size_s` seconds, to the precision of a twentieth."""
        oldest = int((now_s - size_s) // (size_s / _PANES))
        sums: dict[str, int] = defaultdict(int)
        for pane, counts in self._panes.items():
            if pane >= oldest:
                for (name, of), count in counts.items():
                    sums[name] += count if of == str(version) else 0
        return OperationalWindow(sums[_REQUESTS], sums[_FAILED], sums[_SLOW], self._last_request_s)

    def to_json(self, now_s: float) -> dict[str, Any]:
        """Totals, and the gauges of replicas that live: plain JSON values."""
        alive = [r.report for r in self._replicas.values() if now_s - r.seen_s < _ALIVE_S]
        return {
            "tally": self._tally.to_json(),
            "last_request_s": self._last_request_s,
            "replicas": [{"version": r.version, "role": r.role, "gauges": dict(r.gauges)} for r in alive],
        }

    def _forget_versions(self) -> None:
        if len(self._active) <= _VERSIONS:
            return
        kept = sorted(self._active, key=lambda version: (self._active[version], int(version)))[-_VERSIONS:]
        self._active = {version: self._active[version] for version in kept}
        self._tally.forget(lambda series: "version" in METRICS[series[0]].labels and series[1] not in kept)

    def _add_pane(self, tally: Tally, now_s: float, window_s: float) -> None:
        if self._pane_s != window_s / _PANES:
            self._pane_s, self._panes = window_s / _PANES, {}
        number = int(now_s // self._pane_s)
        pane = self._panes.setdefault(number, defaultdict(int))
        for (name, *labels), count in tally.counts.items():
            if name in (_REQUESTS, _FAILED, _SLOW) and labels[1] == "champion":
                pane[name, labels[0]] += int(count)
        self._panes = {n: counts for n, counts in self._panes.items() if n >= number - _PANES}
