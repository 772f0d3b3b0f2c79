import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.drift import fold
from mlops_ray.monitor.panes import Panes
from tests.drift.test_profile import assert_same
from tests.monitor.samples import reference, rows_of

REFERENCE = reference()


def panes() -> Panes:
    """A window of 200 s."""
    return Panes(REFERENCE, size_s=200)


def test_an_empty_window_has_no_rows() -> None:
    assert panes().window(1000.0).rows == 0


def test_the_window_holds_what_came_within_its_time_and_no_more() -> None:
    window = panes()
    for time_s in (1000.0, 1100.0, 1199.0):
        window.add(time_s, fold(REFERENCE, rows_of(10, seed=1)))
    assert [window.window(now_s).rows for now_s in (1200.0, 1211.0, 1311.0, 1500.0)] == [30, 20, 10, 0]


def test_rows_out_of_order_go_where_their_time_says() -> None:
    window, rows = panes(), rows_of(6, seed=2)
    window.add_rows(rows, np.array([1190.0, 1001.0, 1190.0, 1001.0, 1100.0, 1001.0]))
    assert [window.window(now_s).rows for now_s in (1200.0, 1220.0, 1320.0)] == [6, 3, 2]


def test_no_rows_are_fine() -> None:
    window = panes()
    window.add_rows(rows_of(0, seed=1), np.empty(0))
    assert window.window(1000.0).rows == 0


@given(times=st.lists(st.floats(1000, 1190), min_size=1, max_size=30))
def test_rows_one_by_one_or_together_make_the_same_window(times: list[float]) -> None:
    rows, together, alone = rows_of(len(times), seed=3), panes(), panes()
    together.add_rows(rows, np.array(times))
    for row, time_s in zip(rows, times, strict=True):
        alone.add(time_s, fold(REFERENCE, row[None, :]))
    assert_same(together.window(1195.0), fold(REFERENCE, rows))
    assert_same(alone.window(1195.0), fold(REFERENCE, rows))


def test_memory_is_bounded_though_nobody_asks_for_the_window() -> None:
    window = panes()
    for second in range(0, 5000, 10):
        window.add(float(second), fold(REFERENCE, rows_of(1, seed=1)))
    assert len(window._panes) <= 21
