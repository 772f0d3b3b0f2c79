from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.drift import Column, Profile, build_reference, fold
from mlops_ray.errors import ValidationError
from mlops_ray.lake import Lake
from mlops_ray.monitor.panes import Panes
from mlops_ray.monitor.window_store import WindowStore
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


def test_the_newest_rows_are_found_however_long_ago_they_came() -> None:
    window = panes()
    for time_s, seed in ((1000.0, 1), (1100.0, 2), (1105.0, 3), (1150.0, 4)):
        window.add(time_s, fold(REFERENCE, rows_of(10, seed=seed)))
    assert [(window.newest(rows, 1190.0)[0], window.newest(rows, 1190.0)[1].rows) for rows in (1, 10, 11, 31, 99)] == [
        (1150.0, 10),
        (1150.0, 10),
        (1100.0, 30),
        (1000.0, 40),
        (1000.0, 40),
    ]
    assert window.newest(99, 1250.0)[1].rows == 30, "no older than the window"
    assert window.newest(1, 5000.0)[1].rows == 0


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


# -- hours and days ----------------------------------------------------------------------------------------------------

HOUR_S = 3600.0
BEGIN_S = 480_000 * HOUR_S  # a midnight


def served_for(hours: float, *, every_s: float = 600.0) -> Panes:
    """A row each ten minutes."""
    window, time_s = panes(), BEGIN_S
    while time_s < BEGIN_S + hours * HOUR_S:
        window.add(time_s, fold(REFERENCE, rows_of(1, seed=1)))
        time_s += every_s
    return window


def rows_by(found: dict[float, Profile]) -> list[tuple[float, int]]:
    """Hours since the beginning, and rows."""
    return [((begin_s - BEGIN_S) / HOUR_S, profile.rows) for begin_s, profile in found.items()]


def test_hours_and_days_hold_all_that_came() -> None:
    window = served_for(30)
    assert rows_by(window.hours()) == [(float(hour), 6) for hour in range(30)]
    assert rows_by(window.days()) == [(0.0, 144), (24.0, 36)]


def test_old_hours_become_days_and_old_days_are_forgotten() -> None:
    window = served_for(24 * 40, every_s=3600.0)
    assert len(window.hours()) == 48
    assert rows_by(window.days()) == [(24.0 * day, 24) for day in range(9, 40)]
    assert len(window._panes) <= 21


def test_late_rows_go_to_the_hour_and_day_of_their_time() -> None:
    window = served_for(72)
    for hour in (70, 60, 5):  # in the newest hours, in a closed one, in a day of which no hour is left
        window.add(BEGIN_S + hour * HOUR_S, fold(REFERENCE, rows_of(10, seed=1)))
    hours = dict(rows_by(window.hours()))
    assert (hours[70.0], hours[60.0]) == (16, 16)
    assert rows_by(window.days()) == [(0.0, 154), (24.0, 144), (48.0, 164)]
    assert window.late_rows == 30
    assert window.window(BEGIN_S + 72 * HOUR_S).rows == 0, "nothing came within the last 200 s"


def test_rows_older_than_all_windows_are_counted_only() -> None:
    window = served_for(1)
    window.add(BEGIN_S - 40 * 24 * HOUR_S, fold(REFERENCE, rows_of(10, seed=1)))
    assert rows_by(window.days()) == [(0.0, 6)]
    assert window.late_rows == 10


def test_a_checkpoint_has_the_closed_hours_and_the_rest_is_folded_again() -> None:
    before, after = served_for(50.5), panes()
    after.restore(before.checkpoint())
    assert after.refold_from_s == BEGIN_S + 50 * HOUR_S
    assert rows_by(after.hours()) == [(float(hour), 6) for hour in range(3, 50)]
    times_s = BEGIN_S + 50 * HOUR_S + np.array([-100.0, 0.0, 600.0, 1200.0])
    after.add_rows(rows_of(4, seed=1), times_s)
    assert rows_by(after.hours()) == [*rows_by(before.hours())[:-1], (50.0, 3)]
    assert rows_by(after.days()) == rows_by(before.days())


def test_a_checkpoint_of_nothing_is_one_too() -> None:
    window = panes()
    window.restore(panes().checkpoint())
    assert window.refold_from_s == 0
    assert window.hours() == window.days() == {}


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:3], lambda b: b"no" + b[2:]])
def test_a_damaged_checkpoint_is_refused(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ValidationError, match="expected"):
        panes().restore(damage(served_for(3).checkpoint()))


def test_a_checkpoint_of_another_reference_is_refused() -> None:
    other = Panes(build_reference([Column("x", "numeric")], np.zeros((9, 1))), size_s=200)
    with pytest.raises(ValidationError, match="one reference"):
        other.restore(served_for(3).checkpoint())


def test_the_lake_keeps_a_checkpoint_for_each_version(tmp_path: Path) -> None:
    store, window = WindowStore(Lake(str(tmp_path)), "toy"), served_for(3)
    assert store.keep(1, window)
    assert not store.keep(1, window), "nothing has closed since"
    again, unknown = panes(), panes()
    WindowStore(Lake(str(tmp_path)), "toy").restore(1, again)
    WindowStore(Lake(str(tmp_path)), "toy").restore(2, unknown)
    assert (len(again.hours()), len(unknown.hours())) == (2, 0)


def test_a_kept_file_that_cannot_be_used_is_left_aside(tmp_path: Path) -> None:
    Lake(str(tmp_path)).write_bytes("monitor/toy/windows-v1.bin", b"MRW1 and nothing else")
    window = panes()
    WindowStore(Lake(str(tmp_path)), "toy").restore(1, window)
    assert window.hours() == {}
