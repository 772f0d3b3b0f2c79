import asyncio

import numpy as np
import pytest

from mlops_ray.model import InputColumn, Signature
from mlops_ray.rollout import on_canary
from mlops_ray.store import RouteRecord
from tests.serve.asgi_client import Reply, post
from tests.serve.house import (
    BASE,
    PREDICT_MS,
    QUEUE_MS,
    Open,
    Remote,
    answers_more_rows,
    answers_nan,
    answers_nothing,
    answers_why_not,
    first_column,
    good,
    hangs,
    raises,
    sleeps,
    with_canary,
)
from tests.serve.samples import SIGNATURE, Register, booster, lightgbm_model, python_model, record, route, run


def test_units_go_where_the_assignment_says_and_stay_there(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1))
    units = [f"customer-{i}" for i in range(300)] * 2

    async def drive() -> tuple[RouteRecord, list[str]]:
        pushed = await with_canary(house, 0.3)
        return pushed, [(await house.predict(record(customer=unit))).json()["role"] for unit in units]

    pushed, roles = run(drive())
    expected = ["canary" if on_canary(unit, pushed.salt, 0.3) else "champion" for unit in units]
    assert roles == expected
    assert 0 < roles.count("canary") < len(roles)
    assert [(s.assigned, s.unit, s.canary) for s in house.records()] == [
        (role, unit, 2) for role, unit in zip(expected, units, strict=True)
    ]


def test_a_canary_answers_with_its_own_version(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1))

    async def drive() -> Reply:
        await with_canary(house, 1.0)
        return await house.predict()

    content = run(drive()).json()
    assert (content["model_version"], content["role"], content["epoch"]) == ("2", "canary", 2)
    assert content["predictions"][0]["score"] == 0.25
    (kept,) = house.records()
    assert (kept.version, kept.assigned, kept.error) == (2, "canary", None)
    assert (kept.queue_ms, kept.predict_ms, kept.share) == (QUEUE_MS, PREDICT_MS, 1.0)
    assert kept.latency_ms > 0


def test_requests_that_come_together_share_a_call(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1), first_column)

    async def drive() -> list[Reply]:
        await with_canary(house, 1.0)
        return await asyncio.gather(*(house.predict(record(i / 100)) for i in range(40)))

    replies = run(drive())
    assert [reply.json()["predictions"][0]["score"] for reply in replies] == [i / 100 for i in range(40)]
    assert sum(house.remote.calls) == 40
    assert len(house.remote.calls) < 20


@pytest.mark.parametrize(
    ("remote", "says"),
    [
        (raises, "canary version 2 failed: ConnectionError: replica is gone"),
        (hangs, "canary version 2 gave no answer within 100 ms"),
        (answers_nan, "no prediction"),
        (answers_more_rows, "no prediction"),
        (answers_nothing, "no prediction"),
        (answers_why_not, "model version 2 raised ValueError"),
    ],
)
def test_the_champion_answers_for_a_canary_that_fails_in_the_same_request(
    open_door: Open, register: Register, remote: Remote, says: str
) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1), remote)

    async def drive() -> Reply:
        await with_canary(house, 1.0)
        return await house.predict(record(4.0))

    reply = run(drive())
    expected = float(np.asarray(booster(5).predict(np.array([[4.0, 3, 1, 1]])))[0])
    assert reply.status == 200
    assert (reply.json()["role"], reply.json()["model_version"]) == ("champion", "1")
    assert reply.json()["predictions"][0]["score"] == pytest.approx(expected, abs=1e-12)
    (kept,) = house.records()
    assert (kept.assigned, kept.role, kept.version, kept.status) == ("canary", "champion", 1, 200)
    assert kept.error is not None
    assert says in kept.error


def test_a_canary_reads_the_request_by_its_own_signature_and_is_recorded_by_the_champions(
    open_door: Open, register: Register
) -> None:
    turned = Signature(SIGNATURE.inputs[::-1], "binary", "customer")
    register(lightgbm_model(5)), register(python_model("Half"), turned)
    house = open_door(route(1, 1), first_column)

    async def drive() -> Reply:
        await with_canary(house, 1.0)
        return await house.predict(record(4.0, plan="paid"))

    assert run(drive()).json()["predictions"][0]["score"] == 1.0  # the code of the plan
    (kept,) = house.records()
    assert (kept.role, kept.matrix.tolist()) == ("canary", [[4.0, 3.0, 1.0, 1.0]])


def test_a_canary_that_does_not_take_what_the_champion_takes_counts_as_failed(
    open_door: Open, register: Register
) -> None:
    stricter = Signature((*SIGNATURE.inputs, InputColumn("age", "int", nullable=False)), "binary", "customer")
    register(lightgbm_model(5)), register(python_model("Half"), stricter)
    house = open_door(route(1, 1))

    async def drive() -> Reply:
        await with_canary(house, 1.0)
        return await house.predict()

    assert run(drive()).json()["role"] == "champion"
    (kept,) = house.records()
    assert kept.error is not None
    assert "canary version 2 refuses the request" in kept.error
    assert "age" in kept.error


def test_when_both_fail_the_record_names_the_canarys_error(open_door: Open, register: Register) -> None:
    register(python_model("FirstInput")), register(lightgbm_model(6))
    house = open_door(route(1, 1), raises)

    async def drive() -> Reply:
        await with_canary(house, 1.0)
        return await house.predict(record(-1.0))

    assert run(drive()).status == 500
    (kept,) = house.records()
    assert (kept.assigned, kept.status) == ("canary", 500)
    assert kept.error is not None
    assert "replica is gone" in kept.error


def test_that_the_canary_failed_is_kept_even_when_the_champion_has_no_room(open_door: Open, register: Register) -> None:
    register(python_model("Slow")), register(lightgbm_model(6))
    house = open_door(route(1, 1), raises)

    async def drive() -> list[int]:
        await with_canary(house, 1.0)
        replies = await asyncio.gather(*(house.predict(*[record()] * 40) for _ in range(3)))
        return sorted(reply.status for reply in replies)

    statuses = run(drive())
    assert statuses[-1] == 503
    kept = house.records()
    assert sorted(s.status for s in kept) == statuses
    assert all("replica is gone" in str(s.error) for s in kept)


def test_a_version_asked_for_by_name_is_no_part_of_the_rollout(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1))

    async def drive() -> Reply:
        await with_canary(house, 1.0)
        return await post(house.door, f"{BASE}/versions/1/predict", {"records": [record()]})

    assert run(drive()).json()["role"] == "champion"
    (kept,) = house.records()
    assert (kept.assigned, kept.version) == ("direct", 1)


def test_half_of_a_clients_time_is_left_for_the_champion(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1), hangs)

    async def drive() -> list[Reply]:
        await with_canary(house, 1.0)
        return [await house.predict(headers={"x-request-timeout-ms": "180"}) for _ in range(6)]

    assert {(reply.status, reply.json()["role"]) for reply in run(drive())} == {(200, "champion")}
    # A client in a hurry says nothing about the canary: neither is it paused, nor is the request part of the evidence.
    assert [(kept.canary, kept.role, kept.error) for kept in house.records()] == [(0, "champion", None)] * 6


def test_a_larger_share_of_the_same_canary_keeps_what_is_known_of_it(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1), hangs)

    async def drive() -> None:
        await with_canary(house, 0.9)
        await asyncio.gather(*(house.predict(record(customer=f"u{i}")) for i in range(20)))
        await house.door.apply(route(3, 1, canary=2, share=1.0, mirror=0.5, paired=0.5))
        await house.predict()

    run(drive())
    assert "is not asked for a moment" in str(house.records()[-1].error)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_a_fraction_of_what_the_canary_answered_is_chosen_to_be_paired(
    open_door: Open, register: Register, fraction: float
) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1))

    async def drive() -> None:
        await with_canary(house, 0.5, paired=fraction)
        for i in range(300):
            await house.predict(request_id=f"r{i}")

    run(drive())
    kept = house.records()
    canarys = [s for s in kept if s.role == "canary"]
    assert not any(s.to_pair for s in kept if s.role == "champion")
    assert sum(s.to_pair for s in canarys) == pytest.approx(fraction * len(canarys), abs=0.12 * len(canarys))
    # chosen by the request alone: another replica chooses alike, and whom it is for does not matter
    chosen = {s.request_id for s in canarys if s.to_pair}
    assert chosen == {s.request_id for s in canarys if on_canary(s.request_id, "salt-2:paired", fraction)}


def test_a_canary_that_hangs_again_and_again_is_not_asked_for_a_moment(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1), hangs)

    async def drive() -> list[Reply]:
        await with_canary(house, 1.0)
        return [await house.predict() for _ in range(8)]

    replies = run(drive())
    assert {(reply.status, reply.json()["role"]) for reply in replies} == {(200, "champion")}
    kept = house.records()
    assert [bool(s.error and "no answer within" in s.error) for s in kept] == [True] * 5 + [False] * 3
    assert all(s.error and "is not asked for a moment" in s.error for s in kept[5:])
    assert {s.assigned for s in kept} == {"canary"}


@pytest.mark.parametrize("remote", [sleeps, good, raises])
def test_beside_a_canary_that_may_sleep_nothing_is_compared(
    open_door: Open, register: Register, remote: Remote
) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1), remote)

    async def drive() -> set[int]:
        await with_canary(house, 0.5)
        house.remote.compared = False
        return {(await house.predict(record(customer=f"u{i}"))).status for i in range(40)}

    assert run(drive()) == {200}
    records = house.records()
    assert {(s.canary, s.status) for s in records} == {(0, 200)}
    assert {s.assigned for s in records} == {"champion", "canary"}
    assert len(house.remote.calls) == sum(s.assigned == "canary" for s in records), "it is asked, and so wakes up"
