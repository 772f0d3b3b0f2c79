import asyncio

import numpy as np
import pytest

from mlops_ray.rollout import on_canary
from mlops_ray.serve.recorder import Served
from tests.serve.asgi_client import post
from tests.serve.house import BASE, House, Open, first_column, hangs, raises, with_canary
from tests.serve.samples import Register, lightgbm_model, python_model, record, route, run


async def recorded(house: House, count: int) -> list[Served]:
    """Records, as soon as there are so many."""
    kept: list[Served] = []
    while len(kept) < count:
        await asyncio.sleep(0.005)
        kept += house.records()
    return kept


def copies(kept: list[Served]) -> list[Served]:
    return [one for one in kept if one.role == "shadow"]


def test_every_answered_request_is_copied_and_its_record_holds_both_scores(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1), first_column)

    async def drive() -> list[Served]:
        await with_canary(house, 0.0, mirror=1.0)
        for i in range(10):
            reply = await house.predict(record(i / 10), record(0.5), request_id=f"r{i}", unit=f"u{i}")
            assert (reply.json()["role"], reply.json()["model_version"]) == ("champion", "1")
        return await recorded(house, 20)

    kept = run(drive())
    answered = {one.request_id: one for one in kept if one.role == "champion"}
    assert [one.request_id for one in copies(kept)] == list(answered)
    for i, copy in enumerate(copies(kept)):
        own = answered[copy.request_id]
        assert (copy.assigned, copy.version, copy.canary, copy.epoch, copy.unit) == ("shadow", 2, 2, 2, f"u{i}")
        assert (copy.scores.tolist(), copy.status, copy.error) == ([i / 10, 0.5], 200, None)
        np.testing.assert_array_equal(copy.paired_scores, own.scores)
        np.testing.assert_array_equal(copy.matrix, own.matrix)


@pytest.mark.parametrize("mirror", [0.0, 0.3])
def test_the_share_to_copy_is_chosen_by_the_request_and_not_among_the_canarys(
    open_door: Open, register: Register, mirror: float
) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1))

    async def drive() -> list[Served]:
        await with_canary(house, 0.5, mirror=mirror)
        for i in range(200):
            await house.predict(request_id=f"r{i}")
        chosen = sum(
            on_canary(f"r{i}", "salt-2:mirror", mirror) > on_canary(f"r{i}", "salt-2", 0.5) for i in range(200)
        )
        return await recorded(house, 200 + chosen)

    kept = run(drive())
    champions = [one.request_id for one in kept if one.role == "champion"]
    wanted = [i for i in champions if on_canary(i, "salt-2:mirror", mirror)]
    assert [one.request_id for one in copies(kept)] == wanted
    assert len(wanted) == pytest.approx(mirror * len(champions), abs=15)


def test_a_shadow_that_fails_hurts_nobody_and_is_recorded(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1), raises)

    async def drive() -> list[Served]:
        await with_canary(house, 0.0, mirror=1.0)
        assert (await house.predict()).status == 200
        return await recorded(house, 2)

    own, copy = run(drive())
    assert (own.role, own.error) == ("champion", None)
    assert (copy.role, copy.error) == ("shadow", "shadow version 2 failed: ConnectionError: replica is gone")


def test_a_request_that_the_champion_could_not_answer_is_copied_too(open_door: Open, register: Register) -> None:
    register(python_model("FirstInput")), register(lightgbm_model(6))
    house = open_door(route(1, 1))

    async def drive() -> list[Served]:
        await with_canary(house, 0.0, mirror=1.0)
        assert (await house.predict(record(-1.0))).status == 500
        return await recorded(house, 2)

    own, copy = run(drive())
    assert (own.status, copy.status, copy.scores.tolist(), copy.paired_scores) == (500, 200, [0.25], None)


def test_a_shadow_that_hangs_keeps_no_request_waiting(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1), hangs)

    async def drive() -> list[str]:
        await with_canary(house, 0.0, mirror=1.0)
        roles: list[str] = []
        for _ in range(600):
            roles.append((await house.predict()).json()["role"])
            await asyncio.sleep(0)
        await house.door.apply(route(3, 1))
        await asyncio.sleep(0.01)
        return roles

    # within one test, so in far less than the deadline of a single copy for each of them
    assert set(run(drive())) == {"champion"}
    assert copies(house.records()) == []
    assert house.outbox.recorder.dropped_copies == 600


def test_copies_go_on_under_another_share_and_end_with_the_canary(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1))

    async def drive() -> tuple[list[Served], list[Served]]:
        await with_canary(house, 0.0, mirror=1.0)
        await house.predict(request_id="before")
        await house.door.apply(route(3, 1, canary=2, share=0.5, mirror=1.0))
        first = copies(await recorded(house, 2))
        await house.door.apply(route(4, 1, canary=2, mirror=1.0))
        await house.predict(request_id="too late")
        await house.door.apply(route(5, 1))
        await asyncio.sleep(0.1)
        return first, copies(house.records())

    first, rest = run(drive())
    assert [(one.request_id, one.epoch) for one in first] == [("before", 2)]
    assert rest == []


def test_a_version_asked_for_by_name_is_not_copied(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1))

    async def drive() -> None:
        await with_canary(house, 0.0, mirror=1.0)
        await post(house.door, f"{BASE}/versions/1/predict", {"records": [record()]})
        await house.predict()
        kept = await recorded(house, 3)
        assert [one.assigned for one in kept] == ["direct", "champion", "shadow"]

    run(drive())
