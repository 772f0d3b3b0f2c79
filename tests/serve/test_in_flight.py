import asyncio

from mlops_ray.serve.in_flight import InFlight
from tests.serve.samples import run


def test_it_is_full_as_long_as_there_are_as_many_as_may_be() -> None:
    flight = InFlight(2)
    with flight:
        assert not flight.full
        with flight:
            assert flight.full
        assert not flight.full


def test_nothing_under_way_is_drained_at_once() -> None:
    assert run(InFlight(2).drained(60))


def test_draining_waits_for_the_last_one_and_no_longer() -> None:
    async def drive() -> tuple[bool, list[str]]:
        flight, order, leave = InFlight(9), [], asyncio.Event()

        async def request(name: str) -> None:
            with flight:
                await leave.wait()
            order.append(name)

        tasks = [asyncio.create_task(request(name)) for name in "ab"]
        await asyncio.sleep(0)
        waiting = asyncio.create_task(flight.drained(60))
        await asyncio.sleep(0)
        assert not waiting.done()
        leave.set()
        drained = await waiting
        await asyncio.gather(*tasks)
        return drained, order

    assert run(drive()) == (True, ["a", "b"])


def test_draining_gives_up_after_a_while() -> None:
    async def drive() -> bool:
        flight = InFlight(9)
        with flight:
            return await flight.drained(0.01)

    assert not run(drive())
