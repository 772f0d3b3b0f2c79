from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.monitor.operational_judge import OperationalWindow
from mlops_ray.monitor.traffic_totals import TrafficTotals
from mlops_ray.telemetry import Tally, TrafficReport

WINDOW_S = 200.0


def report(replica: str, number: int, *, asked: int = 0, failed: int = 0, slow: int = 0, version: int = 1,
           role: str = "champion", last_s: float | None = None) -> TrafficReport:  # fmt: skip
    tally = Tally()
    for name, count in (("asked", asked), ("errors", failed), ("slow", slow)):
        tally.add((f"mlops_ray_{name}_total", str(version), role), count)
    return TrafficReport(replica, number, version, role, tally, last_s, {"in_flight": 2.0})


def asked(totals: TrafficTotals, now_s: float = 0.0) -> float:
    series = totals.to_json(now_s)["tally"]["counts"]
    return sum(amount for (name, *_), amount in series if name == "mlops_ray_asked_total")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50)), max_size=20), st.randoms())
def test_each_report_counts_once_however_often_it_comes(told: Sequence[tuple[str, int]], random: object) -> None:
    totals, numbers = TrafficTotals(), dict.fromkeys("abc", 0)
    for replica, count in told:
        numbers[replica] += 1
        one = report(replica, numbers[replica], asked=count)
        assert totals.add(one, 0.0, window_s=WINDOW_S)
        assert not totals.add(one, 0.0, window_s=WINDOW_S)
    assert asked(totals) == sum(count for _, count in told)


def test_what_a_replica_counted_stays_when_it_is_gone() -> None:
    totals = TrafficTotals()
    totals.add(report("a", 1, asked=5), 0.0, window_s=WINDOW_S)
    totals.add(report("b", 1, asked=7), 7200.0, window_s=WINDOW_S)
    assert asked(totals, 7200.0) == 12
    assert len(totals.to_json(7200.0)["replicas"]) == 1
    assert totals.to_json(7231.0)["replicas"] == []


def test_the_window_is_of_the_champion_and_slides() -> None:
    totals = TrafficTotals()
    totals.add(report("a", 1, asked=100, failed=5, slow=7, last_s=1.0), 1000.0, window_s=WINDOW_S)
    totals.add(report("a", 2, asked=50, version=2, role="canary", last_s=2.0), 1000.0, window_s=WINDOW_S)
    totals.add(report("a", 3, asked=10, last_s=1.5), 1150.0, window_s=WINDOW_S)
    assert totals.window(1, 1150.0, size_s=WINDOW_S) == OperationalWindow(110, 5, 7, 2.0)
    assert totals.window(1, 1300.0, size_s=WINDOW_S) == OperationalWindow(10, 0, 0, 2.0)
    assert totals.window(1, 2000.0, size_s=WINDOW_S) == OperationalWindow(0, 0, 0, 2.0)
    assert totals.window(2, 1150.0, size_s=WINDOW_S).requests == 0


def test_only_the_newest_versions_keep_their_series() -> None:
    totals = TrafficTotals()
    for version in range(1, 31):
        totals.add(report("a", version, asked=1, version=version), float(version), window_s=WINDOW_S)
    kept = {int(series[1]) for series, _ in totals.to_json(30.0)["tally"]["counts"]}
    assert kept == set(range(23, 31))
    # a rollback to an old one brings it back
    totals.add(report("a", 31, asked=1, version=2), 31.0, window_s=WINDOW_S)
    assert 2 in {int(series[1]) for series, _ in totals.to_json(31.0)["tally"]["counts"]}
