"""The simulated hosting behaves as the real one where the reconciler depends on it."""

from dataclasses import replace

import pytest

from mlops_ray.serve import AppStatus
from mlops_ray.serve.memory_hosting import MemoryHosting
from mlops_ray.store import RouteRecord
from tests.control.world import toy_spec

SPEC = toy_spec()
ROUTE = RouteRecord("toy", epoch=1, champion=1, canary=None, share=0.0, salt="", previous=None, updated_s=0.0)


@pytest.fixture
def hosting() -> MemoryHosting:
    """A hosting whose front door is up with version 1."""
    hosting = MemoryHosting(lambda _: ROUTE)
    hosting.open_front(SPEC)
    hosting.statuses()
    hosting.statuses()
    return hosting


def test_an_application_is_seen_at_once_and_ready_after_some_looks() -> None:
    hosting = MemoryHosting(lambda _: None, looks=3)
    hosting.open_version(SPEC, 2)
    ready = [hosting.statuses()["toy-v2"].ready for _ in range(3)]
    assert ready == [False, False, True]


def test_a_front_door_holds_the_route_of_the_store_when_it_comes_up(hosting: MemoryHosting) -> None:
    assert [(a.epoch, a.champion) for a in hosting.applied("toy")] == [(1, 1), (1, 1)]


def test_a_front_door_without_a_champion_fails() -> None:
    hosting = MemoryHosting(lambda _: None, looks=1)
    hosting.open_front(SPEC)
    assert "no champion" in (hosting.statuses()["toy"].failed or "")


def test_a_pushed_route_is_taken_over_and_an_older_one_is_not(hosting: MemoryHosting) -> None:
    newer = replace(ROUTE, epoch=3, canary=2, share=0.5)
    assert {(a.epoch, a.canary) for a in hosting.push(newer)} == {(3, 2)}
    assert {(a.epoch, a.canary) for a in hosting.push(replace(ROUTE, epoch=2))} == {(3, 2)}


def test_a_version_that_cannot_be_loaded_leaves_the_champion_as_it_was(hosting: MemoryHosting) -> None:
    hosting.cannot_load.add(2)
    assert hosting.push(replace(ROUTE, epoch=2, champion=2)) == []
    assert {a.champion for a in hosting.applied("toy")} == {1}


def test_nothing_is_taken_over_while_replicas_cannot_be_reached(hosting: MemoryHosting) -> None:
    hosting.unreachable = True
    assert hosting.push(replace(ROUTE, epoch=2)) == []


def test_a_closed_application_is_seen_once_more_and_then_gone(hosting: MemoryHosting) -> None:
    hosting.close("toy")
    assert hosting.push(ROUTE) == []
    hosting.close("toy")
    assert hosting.statuses() == {}


def test_what_cannot_start_says_why_or_never_gets_ready() -> None:
    hosting = MemoryHosting(lambda _: None, cannot_start={"toy-v2": "out of memory", "toy-v3": ""})
    hosting.open_version(SPEC, 2)
    hosting.open_version(SPEC, 3)
    statuses = [hosting.statuses() for _ in range(9)][-1]
    assert statuses == {"toy-v2": AppStatus(False, "out of memory"), "toy-v3": AppStatus(False, None)}
