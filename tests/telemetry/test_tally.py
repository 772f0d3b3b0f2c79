from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.telemetry import METRICS, Tally, TrafficReport

DURATION = "mlops_ray_request_duration_seconds"
NAMES = st.sampled_from([("mlops_ray_asked_total", "1", "champion"), ("mlops_ray_rejected_total", "too_often")])
WHOLE = st.integers(0, 10**6)
TIMES = st.lists(st.integers(0, 64).map(lambda number: number / 8), max_size=20)  # sums are exact


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    tally = Tally()
    for series, amount in draw(st.lists(st.tuples(NAMES, WHOLE), max_size=4)):
        tally.add(series, amount)
    for version, times in draw(st.lists(st.tuples(st.sampled_from("12"), TIMES), max_size=3)):
        tally.observe((DURATION, version, "champion"), times)
    return tally


def merged(*several: Tally) -> Any:
    whole = Tally()
    for tally in several:
        whole.merge(tally)
    content = whole.to_json()
    return {kind: sorted(series) for kind, series in content.items()}


@given(tallies(), tallies(), tallies())
def test_merging_is_associative_and_commutative(a: Tally, b: Tally, c: Tally) -> None:
    left, right = Tally(), Tally()
    left.merge(a)
    left.merge(b)
    right.merge(b)
    right.merge(c)
    assert merged(left, c) == merged(a, right) == merged(c, b, a)


@given(tallies())
def test_a_report_comes_out_as_it_went_in(tally: Tally) -> None:
    report = TrafficReport("r", 3, 2, "champion", tally, 12.5, {"in_flight": 4})
    again = TrafficReport.from_json(report.to_json())
    assert (again.to_json(), again.tally.to_json()) == (report.to_json(), tally.to_json())


@given(st.lists(st.floats(0, 20, allow_nan=False), max_size=200), st.integers(0, 200))
def test_values_in_parts_are_counted_as_all_at_once(values: list[float], at: int) -> None:
    whole, parts = Tally(), Tally()
    series = (DURATION, "1", "champion")
    whole.observe(series, values)
    parts.observe(series, values[:at])
    parts.observe(series, values[at:])
    assert whole.histograms[series].counts == parts.histograms[series].counts
    assert np.isclose(whole.histograms[series].sum, parts.histograms[series].sum)
    edges = METRICS[DURATION].edges
    below = [sum(value <= edge for value in values) for edge in edges]
    assert np.cumsum(whole.histograms[series].counts).tolist() == [*below, len(values)]


def test_what_is_forgotten_is_gone_and_nothing_else() -> None:
    tally = Tally()
    for version in ("1", "2"):
        tally.add(("mlops_ray_asked_total", version, "champion"))
        tally.observe((DURATION, version, "champion"), [0.1])
    tally.forget(lambda series: series[1] == "1")
    assert {series[1] for series in (*tally.counts, *tally.histograms)} == {"2"}
