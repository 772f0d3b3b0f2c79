"""The promised numbers are made of the rows of a run."""

from benchmarks.ratios import ratios
from benchmarks.sampling import Timing
from tests.benchmarks.samples import row

FAST, SLOW = (100.0, 400.0, 90.0), (10.0, 20.0, 10.0)
SAME = (1.0, 1.0, 1.0)


def test_the_engine_is_held_against_each_other_system_round_by_round() -> None:
    rows = [
        row("throughput", "engine", per_s=FAST, p99_ms=SAME),
        row("throughput", "bentoml", per_s=SLOW, p99_ms=SAME),
        row("throughput", "plain_fastapi", per_s=FAST, p99_ms=SAME),
        row("throughput", "bentoml", per_s=FAST, p99_ms=SAME, connections=1),
    ]
    assert ratios(rows, []) == {"engine_over_bentoml": 10.0, "engine_over_plain_fastapi": 1.0}


def test_rows_in_bulk_are_counted_by_rows() -> None:
    rows = [
        row("arrow", "arrow rows", per_s=SLOW, p99_ms=SAME, rows=1000),
        row("arrow", "json rows", per_s=FAST, p99_ms=SAME),
    ]
    assert ratios(rows, []) == {"arrow_rows_over_json_rows": 100.0}


def test_shadows_and_half_saturation_are_held_together_by_latency() -> None:
    rows = [
        row("shadow", "no shadow", per_s=SAME, p99_ms=SLOW, rate=300),
        row("shadow", "waiting shadow", per_s=SAME, p99_ms=(11.0, 22.0, 30.0), rate=300),
        row("half saturation of bentoml", "bentoml", per_s=SAME, p99_ms=FAST, rate=5),
        row("half saturation of bentoml", "engine", per_s=SAME, p99_ms=SLOW, rate=5),
    ]
    assert ratios(rows, []) == {
        "shadow_p99_over_none": 1.1,
        "p99_at_half_saturation_engine_over_bentoml": 0.1,
    }


def test_a_change_takes_as_long_as_the_slowest_one() -> None:
    timings = [Timing("changes", "share change", (0.1, 0.3, 0.2)), Timing("changes", "rollback", (1.0,))]
    assert ratios([], timings) == {"share_change_s": 0.3, "rollback_s": 1.0}


def test_what_was_not_measured_has_no_ratio() -> None:
    assert ratios([row("capture", "capture on", per_s=SAME, p99_ms=SAME)], []) == {}
