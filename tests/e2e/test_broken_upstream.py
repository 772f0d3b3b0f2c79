"""A column that breaks upstream is told as broken data by its name, and nothing is retrained on it."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mlops_ray.control.loop_breaker import pause_loop, resume_loop
from mlops_ray.spec import Workspace
from mlops_ray.store import AlertRecord, TriggerRecord
from tests.e2e.toy import Toy, rows, until

pytestmark = pytest.mark.slow

TIMEOUT_S = 150.0


@pytest.fixture(scope="module")
def toy(live: Workspace) -> Iterator[Toy]:
    """A champion that is retrained each minute, and whenever its features or answers drift; paused at first."""
    retrain = {
        "triggers": ["drift", "prediction_drift"],
        "schedule": {"cron": "* * * * *", "timezone": "UTC"},
        "guards": {"cooldown_s": 0, "max_per_day": 100},
    }
    toy = Toy(live, "upstream", sections={"retrain": retrain}).first_champion()
    pause(toy)
    yield toy
    toy.retire()


def pause(toy: Toy) -> None:
    pause_loop(toy.store, toy.name, by="test", reason="not yet", now_s=time.time())


def zeros(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"a": 0.0}


def other_units(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"a": 1000.0 * row["a"]}


class Source:
    """Ever new rows, as broken as they are told to be."""

    def __init__(self, breaks: Callable[[dict[str, Any]], dict[str, Any]] | None) -> None:
        self._seed, self._breaks = 5000, breaks

    def __call__(self, count: int) -> list[dict[str, Any]]:
        self._seed += 1
        found = rows(count, self._seed)
        return found if self._breaks is None else [self._breaks(row) for row in found]


def alert_of(toy: Toy, kind: str) -> AlertRecord | None:
    return next((a for a in toy.store.alerts(toy.name, state="open") if a.kind == kind), None)


def held(toy: Toy) -> TriggerRecord | None:
    pending = toy.store.triggers(toy.name, state="pending")
    return next((t for t in pending if t.guard == "data_quality"), None)


@pytest.mark.parametrize("breaks", [zeros, other_units])
def test_the_alarm_names_the_column_and_holds_every_retraining(
    toy: Toy, breaks: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    with toy.traffic(rate_per_s=60) as driver:
        driver.set_rows(Source(breaks))
        alert = until(lambda: alert_of(toy, "data_quality"), "an alert on data quality", timeout_s=TIMEOUT_S)
        assert (alert.features, alert.severity) == (("a",), "critical")
        assert "1 broken column" in alert.message
        resume_loop(toy.store, toy.name, by="test", reason="let us see", now_s=time.time())
        trigger = until(lambda: held(toy), "a retraining that is held", timeout_s=TIMEOUT_S)
        assert f"data_quality alert {alert.id} is open (a)" in trigger.reason
        pause(toy)
        driver.set_rows(Source(None))
        until(lambda: alert_of(toy, "data_quality") is None, "the end of the alert", timeout_s=TIMEOUT_S)
    assert {t.submission_id for t in toy.store.triggers(toy.name)} == {None}
    kinds = {a.kind for a in toy.store.alerts(toy.name)}
    assert kinds <= {"data_quality", "operational"}, "what is broken is no drift, of features or of answers"
    assert toy.store.verify().verified
