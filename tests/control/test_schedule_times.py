from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_ray.control.schedule_times import newest_due, next_due
from mlops_ray.spec import Schedule

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = "UTC") -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).timestamp()


def test_the_newest_moment_is_in_the_zones_time_in_winter_and_in_summer() -> None:
    schedule = Schedule(cron="0 3 * * *", timezone=BERLIN)
    assert newest_due(schedule, at("2026-01-15T12:00Z")) == at("2026-01-15T02:00Z")
    assert newest_due(schedule, at("2026-07-15T12:00Z")) == at("2026-07-15T01:00Z")


def test_a_moment_is_due_at_its_very_second() -> None:
    schedule = Schedule(cron="0 3 * * *")
    assert newest_due(schedule, at("2026-01-15T03:00Z")) == at("2026-01-15T03:00Z")
    assert next_due(schedule, at("2026-01-15T03:00Z")) == at("2026-01-16T03:00Z")


def test_a_time_that_the_clocks_skip_comes_once_after_the_jump() -> None:
    # 2026-03-29: 02:00 becomes 03:00 in Berlin.
    schedule = Schedule(cron="30 2 * * *", timezone=BERLIN)
    assert next_due(schedule, at("2026-03-28T12:00Z")) == at("2026-03-29T01:30Z")
    assert newest_due(schedule, at("2026-03-29T01:29:59Z")) == at("2026-03-28T01:30Z")
    assert newest_due(schedule, at("2026-03-29T01:30Z")) == at("2026-03-29T01:30Z")
    assert next_due(schedule, at("2026-03-29T01:30Z")) == at("2026-03-30T00:30Z")


def test_a_time_that_comes_twice_counts_the_first_time_only() -> None:
    # 2026-10-25: 03:00 becomes 02:00 in Berlin.
    schedule = Schedule(cron="30 2 * * *", timezone=BERLIN)
    first = at("2026-10-25T00:30Z")
    for later in (
        "2026-10-25T00:30Z",
        "2026-10-25T00:59Z",
        "2026-10-25T01:15Z",
        "2026-10-25T01:30Z",
        "2026-10-25T12:00Z",
    ):
        assert newest_due(schedule, at(later)) == first
    assert next_due(schedule, first) == at("2026-10-26T01:30Z")


def test_weekday_and_month_are_those_of_the_zone() -> None:
    schedule = Schedule(cron="0 3 * * 1", timezone="Pacific/Auckland")
    # Monday 03:00 there is Sunday 14:00 or 15:00 UTC.
    due = datetime.fromtimestamp(newest_due(schedule, at("2026-07-15T12:00Z")), ZoneInfo("Pacific/Auckland"))
    assert (due.weekday(), due.hour) == (0, 3)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(at("2026-03-27T00:00Z").__int__(), at("2026-03-31T00:00Z").__int__())
    | st.integers(at("2026-10-23T00:00Z").__int__(), at("2026-10-27T00:00Z").__int__()),
    st.sampled_from(["0 3 * * *", "30 2 * * *", "*/20 * * * *", "0 */2 * * *", "15 1,2,3 * * *"]),
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "UTC"]),
)
def test_seen_every_minute_every_moment_is_met_in_order_and_once(now: int, cron: str, zone: str) -> None:
    schedule = Schedule(cron=cron, timezone=zone)
    newest, following = newest_due(schedule, now), next_due(schedule, now)
    assert newest <= now < following
    # Nothing lies between the two, and each is what the other looks back and forward to.
    assert newest_due(schedule, following) == following
    assert newest_due(schedule, following - 1) == newest
    assert next_due(schedule, newest) == following


@pytest.mark.parametrize(
    "cron", ["", "0 3 * *", "0 3 * * * *", "61 * * * *", "0 0 30 2 *", "h h * * *", "r 3 * * *", "@daily", "a b c d e"]
)
def test_a_cron_expression_that_cannot_be_kept_is_refused(cron: str) -> None:
    with pytest.raises(ValueError, match="cron"):
        Schedule(cron=cron)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "Europe"])
def test_a_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="timezone"):
        Schedule(cron="0 3 * * *", timezone=zone)
