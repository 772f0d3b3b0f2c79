"""What the rows of a benchmark come to: the numbers that are promised. Pure."""

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.sampling import Row, Timing

__all__ = ["ratios"]

_ENGINE = "engine"
_MOST = "16 connections"
_HALF = "half saturation of "
# name: part, system over system, by rows/s
_SPEEDS = {
    "capture_on_over_off": ("capture", "capture on", "capture off"),
    "canary10_over_0": ("canary", "canary 10 %", "no canary"),
    "arrow_rows_over_json_rows": ("arrow", "arrow rows", "json rows"),
}
# the same by p99
_LATENCIES = {
    "shadow_p99_over_none": ("shadow", "waiting shadow", "no shadow"),
    "computing_shadow_p99_over_none": ("shadow", "computing shadow", "no shadow"),
}
_SECONDS = {"share_change_s": "share change", "rollback_s": "rollback"}
_Key = tuple[str, str]


def ratios(rows: Sequence[Row], timings: Sequence[Timing]) -> dict[str, float]:
    """What can be made of what was measured; each ratio is the median over the rounds, each time the longest of all."""
    saturated = {(r.part, r.system): r for r in rows if r.part != "throughput" or r.load == _MOST}
    speeds = {key: row.rounds_per_s for key, row in saturated.items()}
    latencies = {key: row.rounds_p99_ms for key, row in saturated.items()}
    found = _over_others(speeds)
    found |= _pairs(speeds, _SPEEDS) | _pairs(latencies, _LATENCIES)
    for part, other in [key for key in latencies if key[0].startswith(_HALF) and key[1] != _ENGINE]:
        name = f"p99_at_half_saturation_engine_over_{other}"
        found |= _pairs(latencies, {name: (part, _ENGINE, other)})
    longest = {timing.what: max(timing.seconds) for timing in timings if timing.seconds}
    return found | {name: longest[what] for name, what in _SECONDS.items() if what in longest}


def _over_others(speeds: Mapping[_Key, Sequence[float]]) -> dict[str, float]:
    others = [system for part, system in speeds if part == "throughput" and system != _ENGINE]
    return _pairs(speeds, {f"engine_over_{other}": ("throughput", _ENGINE, other) for other in others})


def _pairs(measured: Mapping[_Key, Sequence[float]], wanted: Mapping[str, tuple[str, str, str]]) -> dict[str, float]:
    """The median of the rounds' own ratios: what else the machine does comes and goes between the rounds."""
    return {
        name: round(statistics.median(a / b for a, b in zip(measured[part, one], measured[part, two], strict=True)), 3)
        for name, (part, one, two) in wanted.items()
        if (part, one) in measured and (part, two) in measured
    }
