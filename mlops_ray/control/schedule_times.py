"""The moments a schedule names, as Unix times. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter

from mlops_ray.spec import Schedule

__all__ = ["newest_due", "next_due"]

_SHIFT = timedelta(hours=3)
"""More than any clock is put forward or back; near such a moment local order and order in time differ."""


def newest_due(schedule: Schedule, now_s: float) -> float:
    """The newest moment at or before `now_s`.

    >>> newest_due(Schedule(cron="0 3 * * *"), 86_400.0)
    10800.0
    """
    zone, now = ZoneInfo(schedule.timezone), datetime.fromtimestamp(now_s, UTC)
    start, stop = _local(now + _SHIFT, zone), _local(now - _SHIFT, zone)
    found: list[float] = []
    for wall in _walls(schedule, start + timedelta(seconds=1), back=True):
        at_s = _unix(wall, zone)
        if at_s <= now_s:
            found.append(at_s)
        if found and (wall < stop or _is_steady(now, zone)):
            break
    return max(found)


def next_due(schedule: Schedule, now_s: float) -> float:
    """The first moment after `now_s`.

    >>> next_due(Schedule(cron="0 3 * * *"), 86_400.0)
    97200.0
    """
    zone, now = ZoneInfo(schedule.timezone), datetime.fromtimestamp(now_s, UTC)
    start, stop = _local(now - _SHIFT, zone), _local(now + _SHIFT, zone)
    found: list[float] = []
    for wall in _walls(schedule, start, back=False):
        at_s = _unix(wall, zone)
        if at_s > now_s:
            found.append(at_s)
        if found and (wall > stop or _is_steady(now, zone)):
            break
    return min(found)


def _walls(schedule: Schedule, start: datetime, *, back: bool) -> Iterator[datetime]:
    """Local times without a zone, which croniter would count in ways of its own where clocks change."""
    times = croniter(schedule.cron, start)
    while True:
        yield times.get_prev(datetime) if back else times.get_next(datetime)


def _local(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _unix(wall: datetime, zone: ZoneInfo) -> float:
    """Of a time that comes twice the first (PEP 495, fold 0); a skipped one is counted on by the old offset."""
    return wall.replace(tzinfo=zone).timestamp()


def _is_steady(now: datetime, zone: ZoneInfo) -> bool:
    """Whether no clock is changed within a day or so of now."""
    offsets = {(now + hours * _SHIFT).astimezone(zone).utcoffset() for hours in (-9, -1, 0, 1, 9)}
    return len(offsets) == 1
