"""False alarms and what is found: the parts `alarms` and `detection` of `benchmarks.drift`.

Thirty days of a world without drift (`benchmarks.drift_world`): 50 features with a daily season, a window each hour of
200 to 200,000 rows (log-uniform), judged at the defaults of the spec; windows below its `min_rows` are not judged. An
alarm is a feature that is raised after k of n judgements, as people would be told. One month is made of rows, which the
rules of others see too; more months are drawn as counts of the same chances, in hourly windows, and as a sliding window
of an hour judged every five minutes, which is what the defaults do.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.drift_rules import Exact
from benchmarks.drift_world import HOUR_S, World
from mlops_ray.drift import Persistence, Profile, ReferenceProfile, fold, judge, merge, subtract
from mlops_ray.spec import Monitor

__all__ = ["Alarms", "detected_share", "measure_alarms"]

_FEATURES = 50
_REFERENCE_ROWS = 200_000
_HOURS = 30 * 24
_ROWS = (200, 200_000)
_SHIFT = 0.25
_EVERY_S = 300.0
_WARM_S = 2 * HOUR_S


@dataclass(frozen=True)
class Alarms:
    """One way to judge, over a number of months."""

    system: str
    months: int
    windows: int
    alarms: int
    """Features raised; of ways without memory, features of a window that were called drifted."""
    windows_with_alarm: int
    per_30_days: float


def measure_alarms(*, months: int, sliding_months: int, seed: int, hours: int = _HOURS) -> list[Alarms]:
    """Alarms of the engine and of the rules of others where nothing drifts."""
    world = World(_FEATURES, seed)
    reference, values, times_s = world.reference(_REFERENCE_ROWS)
    found = list(_month_of_rows(world, reference, values, times_s, hours))
    found.append(
        _engine(
            "engine, hourly, counts drawn",
            months,
            (_hourly(world, reference, m, hours) for m in range(months)),
            reference,
        )
    )
    sliding = (_sliding(world, reference, m, hours) for m in range(sliding_months))
    found.append(_engine("engine, sliding hour every 5 min, counts drawn", sliding_months, sliding, reference))
    return found


def detected_share(*, runs: int, seed: int) -> float:
    """Of runs in which one feature moved by a quarter of a standard deviation, those in which it is raised within three
    windows of 1,000 rows in consecutive hours; features of whole numbers, which cannot move so, are left out."""
    world, random = World(_FEATURES, seed), np.random.default_rng((seed, 2))
    reference, values, _ = world.reference(_REFERENCE_ROWS)
    moving = [i for i, name in enumerate(world.names) if not name.startswith("whole")]
    monitor, found = Monitor(), 0
    for run in range(runs):
        place, persistence, raised = moving[run % len(moving)], Persistence.none(), frozenset[str]()
        start_s = HOUR_S * int(random.integers(24))
        for window in range(3):
            times_s = start_s + HOUR_S * (window + random.uniform(size=1000))
            rows = world.rows(random, times_s)
            rows[:, place] += _SHIFT * values[:, place].std()
            persistence = _judged(persistence, reference, fold(reference, rows, times_s), monitor)[0]
            raised |= persistence.raised
        found += world.names[place] in raised
    return found / runs


def _month_of_rows(
    world: World, reference: ReferenceProfile, values: np.ndarray, times_s: np.ndarray, hours: int
) -> Iterator[Alarms]:
    """The engine and the rules of others on the same rows."""
    random, persistence, monitor = np.random.default_rng((world.seed, 3)), Persistence.none(), Monitor()
    whole = [Exact.of(column) for column in values.T]
    of_hour = [[Exact.of(column) for column in values[times_s // HOUR_S % 24 == hour].T] for hour in range(24)]
    names = (
        "engine, hourly, rows",
        "KS p < .05",
        "KS p < .05, same hour",
        "Evidently's defaults",
        "the same, same hour",
    )
    counted = {name: np.zeros(2, dtype=np.int64) for name in names}
    for hour in range(hours):
        count = _count(random)
        moments_s = HOUR_S * (hour + random.uniform(size=count))
        rows = world.rows(random, moments_s)
        persistence, raised = _judged(persistence, reference, fold(reference, rows, moments_s), monitor)
        flags = {names[0]: raised} | dict.fromkeys(names[1:], 0)
        for i, column in enumerate(np.sort(rows, axis=0).T):
            ordered = np.ascontiguousarray(column)
            flags[names[1]] += whole[i].ks_p(ordered) < 0.05
            flags[names[2]] += of_hour[hour % 24][i].ks_p(ordered) < 0.05
            flags[names[3]] += whole[i].evidently_drifted(ordered)
            flags[names[4]] += of_hour[hour % 24][i].evidently_drifted(ordered)
        for name, number in flags.items():
            counted[name] += (number, number > 0)
    for name, (alarms, windows) in counted.items():
        yield Alarms(name, 1, hours, int(alarms), int(windows), round(float(alarms) * _HOURS / hours, 3))


def _engine(system: str, months: int, windows_of: Iterator[Iterator[Profile]], reference: ReferenceProfile) -> Alarms:
    alarms = with_alarm = windows = 0
    for profiles in windows_of:
        persistence = Persistence.none()
        for profile in profiles:
            persistence, raised = _judged(persistence, reference, profile, Monitor())
            alarms, with_alarm, windows = alarms + raised, with_alarm + (raised > 0), windows + 1
    return Alarms(system, months, windows, alarms, with_alarm, round(alarms / max(1, months), 3))


def _judged(
    persistence: Persistence, reference: ReferenceProfile, profile: Profile, monitor: Monitor
) -> tuple[Persistence, int]:
    report = judge(reference, profile, monitor.thresholds, min_rows=monitor.window.min_rows)
    persistence, raised, _ = persistence.update(report, persist=monitor.thresholds.persist)
    return persistence, len(raised)


def _hourly(world: World, reference: ReferenceProfile, month: int, hours: int) -> Iterator[Profile]:
    random = np.random.default_rng((world.seed, 4, month))
    for hour in range(hours):
        yield world.drawn(random, reference, _count(random), hour * HOUR_S, HOUR_S)


def _sliding(world: World, reference: ReferenceProfile, month: int, hours: int) -> Iterator[Profile]:
    """An hour's rows at each moment are between 200 and 200,000, and change by the hour."""
    random = np.random.default_rng((world.seed, 5, month))
    panes, window = list[Profile](), world.drawn(random, reference, 0, 0.0, HOUR_S)
    for step in range(int(hours * HOUR_S / _EVERY_S)):
        if step % 12 == 0:
            rows = _count(random)
        panes.append(world.drawn(random, reference, max(1, rows // 12), step * _EVERY_S, _EVERY_S))
        window = merge(window, panes[-1])
        if len(panes) > 12:
            window = subtract(window, panes.pop(0))
            yield window


def _count(random: np.random.Generator) -> int:
    return int(np.exp(random.uniform(*np.log(_ROWS))))
