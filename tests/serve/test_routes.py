import asyncio

import pytest

from mlops_ray.errors import ModelError, PredictionError
from mlops_ray.serve import Applied
from tests.serve import predictors
from tests.serve.asgi_client import Reply, post
from tests.serve.house import (
    BASE,
    Open,
    hangs,
)
from tests.serve.samples import Register, applied, lightgbm_model, python_model, record, route, run


def test_an_older_epoch_changes_nothing(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(5, 1))
    assert run(house.door.apply(route(4, 2))) == applied(5, 1)
    assert run(house.door.apply(route(5, 2))) == applied(5, 1)


def test_a_newer_epoch_swaps_the_champion_and_keeps_the_previous_one_warm(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1))

    async def drive() -> tuple[Applied, Reply, Reply]:
        now_held = await house.door.apply(route(2, 2, previous=1))
        previous = await post(house.door, f"{BASE}/versions/1/predict", {"records": [record()]})
        return now_held, await house.predict(), previous

    now_held, now, previous = run(drive())
    assert now_held == applied(2, 2)
    assert (now.json()["model_version"], now.json()["role"]) == ("2", "champion")
    assert (previous.json()["model_version"], previous.json()["role"]) == ("1", "direct")


def test_a_route_that_takes_a_version_back_does_not_wait_until_it_is_loaded(
    open_door: Open, register: Register
) -> None:
    register(lightgbm_model(5)), register(python_model("SlowToLoad"))
    house = open_door(route(1, 1))

    async def drive() -> tuple[Applied, Applied, Applied]:
        predictors.ENTERED.clear()
        predictors.OPEN.clear()
        forward = asyncio.create_task(house.door.apply(route(2, 2, previous=1)))
        try:
            await asyncio.to_thread(predictors.ENTERED.wait, 60)
            back = await house.door.apply(route(3, 1))
        finally:
            predictors.OPEN.set()
        return back, await forward, house.door.applied

    assert run(drive()) == (applied(3, 1),) * 3


def test_a_version_is_loaded_once_for_all_that_ask_for_it(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1))

    async def drive() -> list[Applied]:
        return await asyncio.gather(*(house.door.apply(route(2, 2, previous=1)) for _ in range(3)))

    assert run(drive()) == [applied(2, 2)] * 3


def test_a_version_that_is_no_longer_kept_is_not_found(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1))

    async def drive() -> Reply:
        await house.door.apply(route(2, 2))
        return await post(house.door, f"{BASE}/versions/1/predict", {"records": [record()]})

    reply = run(drive())
    assert reply.status == 404
    assert "versions served: 2" in reply.json()["error"]


def test_a_champion_that_cannot_be_loaded_leaves_the_old_one_answering(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(python_model("Column"))
    house = open_door(route(1, 1))

    async def drive() -> Reply:
        with pytest.raises(PredictionError):
            await house.door.apply(route(2, 2))
        return await house.predict()

    assert run(drive()).json()["model_version"] == "1"
    assert house.door.applied == applied(1, 1)
    assert issubclass(PredictionError, ModelError)


def test_a_canary_is_linked_later_when_the_door_opened_on_its_epoch(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    pushed = route(4, 1, canary=2, share=1.0)
    house = open_door(pushed)
    assert house.door.applied.canary is None
    assert run(house.door.apply(pushed)) == applied(4, 1, 2, 1.0)


@pytest.mark.parametrize(("share", "mirror"), [(0.0, 0.0), (0.0, 0.5)])
def test_a_version_without_a_share_is_linked_too(
    open_door: Open, register: Register, share: float, mirror: float
) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1))
    held = run(house.door.apply(route(2, 1, canary=2, share=share, mirror=mirror)))
    assert held == applied(2, 1, 2, share, mirror)


def test_a_door_that_does_not_swap_goes_on_with_what_it_holds_until_it_is_replaced(
    open_door: Open, register: Register
) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1), swaps=False)

    async def drive() -> list[Applied]:
        pushed = [route(2, 1, canary=2, share=0.5), route(3, 2, previous=1), route(4, 1)]
        return [await house.door.apply(one) for one in pushed]

    assert run(drive()) == [applied(2, 1, 2, 0.5), applied(2, 1, 2, 0.5), applied(4, 1)]


@pytest.mark.parametrize("flavor", ["lightgbm", "python"])
def test_no_request_is_lost_while_champions_are_swapped(open_door: Open, register: Register, flavor: str) -> None:
    for trees in (5, 6):
        register(lightgbm_model(trees) if flavor == "lightgbm" else python_model("Half"))
    house = open_door(route(1, 1), hangs)

    async def ask(seen: list[int], *, until: asyncio.Event) -> None:
        while not until.is_set():
            reply = await house.predict()
            assert reply.status == 200, reply.body
            seen.append(int(reply.json()["model_version"]))
            await asyncio.sleep(0)

    async def drive() -> list[int]:
        seen: list[int] = []
        done = asyncio.Event()
        clients = [asyncio.create_task(ask(seen, until=done)) for _ in range(4)]
        for epoch in range(2, 12):
            # a canary that hangs keeps requests in flight across several swaps
            canary = 1 if epoch % 3 == 0 else None
            await house.door.apply(route(epoch, 1 + epoch % 2, canary=canary, share=0.5))
            await asyncio.sleep(0.01)
        done.set()
        await asyncio.gather(*clients)
        return seen

    seen = run(drive())
    assert set(seen) == {1, 2}
    assert len(house.records()) == len(seen)
