"""Many rows at once, as an Arrow stream to a front door."""

import asyncio

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.errors import DeadlineError
from mlops_ray.serve import Versions
from mlops_ray.serve.arrow_rows import ARROW_STREAM
from tests.serve.asgi_client import Reply, post
from tests.serve.house import BASE, House, Open, raises, with_canary
from tests.serve.samples import MODEL, Register, booster, lightgbm_model, python_model, route, run, sample
from tests.serve.test_arrow_rows import stream

ARROW = {"content-type": ARROW_STREAM.decode()}


def columns(rows: int) -> pa.Table:
    """Rows of the model, and as whom they are sent."""
    matrix = sample(rows)
    plans = pa.DictionaryArray.from_arrays(pa.array(matrix[:, 3].astype(np.int8)), pa.array(["free", "paid", "gold"]))
    return pa.table(
        {
            "customer": pa.array([f"c{i}" for i in range(rows)]),
            "amount": matrix[:, 0],
            "visits": pa.array(matrix[:, 1], from_pandas=True),
            "member": matrix[:, 2].astype(bool),
            "plan": plans,
        }
    )


def scored(house: House, content: bytes, path: str = "arrow", **headers: str) -> Reply:
    sent = {**ARROW, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return run(post(house.door, f"{BASE}/{path}", content, headers=sent))


def answered(reply: Reply) -> pa.Table:
    assert (reply.status, reply.headers["content-type"]) == (200, ARROW_STREAM.decode()), reply.body
    return pa.ipc.open_stream(reply.body).read_all()


@pytest.mark.parametrize("rows", [1, 400])
def test_every_row_gets_the_models_own_score(open_door: Open, register: Register, rows: int) -> None:
    house = open_door(route(3, register(lightgbm_model(10))))
    table = answered(scored(house, stream(columns(rows), batches=3), x_request_id="r1"))
    expected = np.asarray(booster(10).predict(sample(rows)))
    np.testing.assert_allclose(table["score"].to_numpy(), expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(table["label"].to_numpy(), (expected >= 0.5).astype(int))
    said = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    names = {"request_id": "r1", "model_name": MODEL, "model_version": "1", "role": "champion", "epoch": "3"}
    assert said == names


def test_its_rows_are_one_record_of_one_unit(open_door: Open, register: Register) -> None:
    house = open_door(route(1, register(lightgbm_model(5))))
    scored(house, stream(columns(40)))
    scored(house, stream(columns(2)), x_unit="zoë".encode().decode("latin-1"))
    first, second = house.records()
    assert (first.unit, len(first.scores), second.unit) == ("c0", 40, "zoë")


def test_it_is_no_part_of_a_rollout(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1), raises)

    async def drive() -> Reply:
        await with_canary(house, share=1.0)
        return await post(house.door, f"{BASE}/arrow", stream(columns(40)), headers=ARROW)

    said = answered(run(drive())).schema.metadata
    assert (said[b"model_version"], said[b"role"]) == (b"1", b"champion")
    (kept,) = house.records()
    assert (kept.role, kept.assigned, kept.error) == ("champion", "direct", None)


def test_a_version_can_be_asked_by_name(open_door: Open, register: Register) -> None:
    house = open_door(route(1, register(lightgbm_model(5))))
    assert answered(scored(house, stream(columns(2)), "versions/1/arrow")).num_rows == 2
    assert scored(house, stream(columns(2)), "versions/9/arrow").status == 404


def test_only_json_is_bound_by_a_number_of_rows(open_door: Open, register: Register) -> None:
    house = open_door(route(1, register(lightgbm_model(5))))
    assert house.versions.spec().serve.max_rows == 50
    assert answered(scored(house, stream(columns(200)))).num_rows == 200


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{}", {}, 400),
        (stream(columns(2), compression="zstd"), {}, 415),
        (stream(columns(2)), {"content-type": "application/json"}, 415),
        (stream(columns(2)), {"content-type": "application/octet-stream"}, 200),
        (stream(columns(2).drop_columns(["amount"])), {}, 422),
        (stream(columns(2)), {"x-unit": "u" * 300}, 422),
        (stream(columns(2)), {"x-unit": "\xff"}, 400),
        (stream(columns(4000)), {}, 413),
        (stream(pa.table({"amount": pa.array([1.0] * 2000, pa.float16())})), {}, 200),
        (stream(pa.table({"amount": pa.array([1] * 7000, pa.int8())})), {}, 413),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_stream_is_said_in_json(
    open_door: Open, register: Register, content: bytes, headers: dict[str, str], status: int
) -> None:
    house = open_door(route(1, register(lightgbm_model(5))))
    reply = run(post(house.door, f"{BASE}/arrow", content, headers={**ARROW, **headers}))
    assert reply.status == status, reply.body
    if status != 200:
        assert "error" in reply.json()
        assert house.records() == []


def test_other_requests_have_their_turn_while_many_rows_are_scored(versions: Versions, register: Register) -> None:
    model = versions.load(register(python_model("Slow")))  # a fifth of a second a call

    async def drive() -> list[int]:
        order: list[int] = []

        async def ask(rows: int) -> None:
            order.append(len((await model.predict(sample(rows), deadline_s=60)).scores))

        await asyncio.gather(ask(3500), ask(1))
        return order

    assert run(drive()) == [1, 3500]


def test_a_bulk_request_that_misses_its_deadline_says_how_far_it_came(versions: Versions, register: Register) -> None:
    model = versions.load(register(python_model("Slow")))
    with pytest.raises(DeadlineError, match=r"\d+ of 3500 rows were predicted within 500 ms"):
        run(model.predict(sample(3500), deadline_s=0.5))
