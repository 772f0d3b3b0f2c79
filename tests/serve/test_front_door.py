import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_ray.errors import ModelError, PredictionError
from mlops_ray.model import InputColumn, Signature
from mlops_ray.rollout import on_canary
from mlops_ray.serve import Applied, FrontDoor, Versions
from mlops_ray.serve.model_app import Label
from mlops_ray.serve.outbox import Outbox
from mlops_ray.serve.recorder import Handover, Served
from mlops_ray.store import RouteRecord
from tests.serve.asgi_client import Reply, get, post
from tests.serve.conftest import (
    MODEL,
    SIGNATURE,
    Register,
    booster,
    lightgbm_model,
    python_model,
    record,
    route,
    run,
)

BASE = f"/v2/models/{MODEL}"
Matrix = NDArray[np.float64]
Remote = Callable[[Matrix], Awaitable[Any]]


@dataclass
class Mailbox:
    """Keeps labels; records stay in the recorder."""

    labels: list[Label] = field(default_factory=list)

    async def receive(self, handover: Handover) -> None:
        raise AssertionError(f"nothing is flushed here: {handover.name}")

    async def keep_labels(self, name: str, labels: list[Label]) -> None:
        self.labels += labels


@dataclass
class RemoteVersion:
    """A canary in other processes, as far as the front door can tell."""

    answer: Remote

    async def predict(self, matrix: Matrix) -> Any:
        return await self.answer(matrix)


@dataclass
class House:
    """A front door with everything around it."""

    versions: Versions
    door: FrontDoor
    outbox: Outbox
    mailbox: Mailbox

    async def predict(self, *records: dict[str, Any], **more: Any) -> Reply:
        return await post(self.door, f"{BASE}/predict", {"records": records or [record()], **more})

    def records(self) -> list[Served]:
        return self.outbox.recorder.take()


async def good(matrix: Matrix) -> Any:
    return np.full(len(matrix), 0.25)


Open = Callable[..., House]


@pytest.fixture
def open_door(versions: Versions) -> Open:
    """Opens a front door on a route; the canary answers as `remote` says."""

    def build(first: RouteRecord, remote: Remote = good) -> House:
        mailbox = Mailbox()
        outbox = Outbox(mailbox, replica="r", flush_s=60)
        door = FrontDoor(
            versions, versions.spec().serve, connect=lambda _: RemoteVersion(remote), outbox=outbox, route=first
        )
        return House(versions, door, outbox, mailbox)

    return build


def test_the_champion_answers_and_says_who_it_is(open_door: Open, register: Register) -> None:
    house = open_door(route(3, register(lightgbm_model(10))))
    reply = run(house.predict(record(2.0), record(8.0), request_id="r1"))
    content = reply.json()
    expected = np.asarray(booster(10).predict(np.array([[2.0, 3, 1, 1], [8.0, 3, 1, 1]])))
    assert reply.status == 200
    assert {k: content[k] for k in ("request_id", "model_name", "model_version", "role", "epoch")} == {
        "request_id": "r1",
        "model_name": MODEL,
        "model_version": "1",
        "role": "champion",
        "epoch": 3,
    }
    assert [p["score"] for p in content["predictions"]] == pytest.approx(expected.tolist(), abs=1e-12)
    assert [p["label"] for p in content["predictions"]] == (expected >= 0.5).astype(int).tolist()


def test_both_protocols_answer_alike(open_door: Open, register: Register) -> None:
    house = open_door(route(1, register(lightgbm_model(10))))
    inputs = [
        {"name": "amount", "shape": [2], "datatype": "FP64", "data": [2.0, 8.0]},
        {"name": "plan", "shape": [2], "datatype": "BYTES", "data": ["paid", "free"]},
    ]
    tensors = run(post(house.door, f"{BASE}/infer", {"id": "t1", "inputs": inputs})).json()
    plain = run(house.predict({"amount": 2.0, "plan": "paid"}, {"amount": 8.0, "plan": "free"})).json()
    assert tensors["id"] == "t1"
    assert tensors["parameters"] == {"role": "champion", "epoch": 1}
    assert tensors["outputs"][0]["data"] == [p["score"] for p in plain["predictions"]]


def test_the_request_id_comes_from_the_body_then_the_header_then_from_us(open_door: Open, register: Register) -> None:
    house = open_door(route(1, register(lightgbm_model(5))))

    async def ids() -> list[str]:
        header = {"X-Request-Id": "from header"}
        bodies: list[tuple[dict[str, Any], dict[str, str]]] = [
            ({"request_id": "from body"}, header),
            ({}, header),
            ({}, {}),
            ({}, {}),
        ]
        replies = [
            await post(house.door, f"{BASE}/predict", {"records": [record()], **more}, headers=headers)
            for more, headers in bodies
        ]
        return [reply.json()["request_id"] for reply in replies]

    first, second, third, fourth = run(ids())
    assert (first, second) == ("from body", "from header")
    assert third != fourth
    assert [s.request_id for s in house.records()] == [first, second, third, fourth]


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/predict", 405, "expected POST"),
        ("POST", "/ready", 405, "expected GET"),
        ("GET", "/nothing", 404, "expected infer, predict"),
        ("GET", "/versions/7/ready", 404, "versions served: 1"),
        ("GET", "/versions/²/ready", 404, "versions served: 1"),
        ("POST", f"/versions/{'9' * 5000}/predict", 404, "versions served: 1"),
        ("GET", "elsewhere", 404, "no such path"),
    ],
)
def test_a_wrong_path_or_method_says_what_is_there(
    open_door: Open, register: Register, method: str, path: str, status: int, says: str
) -> None:
    house = open_door(route(1, register(lightgbm_model(5))))
    call = post(house.door, BASE + path, {}) if method == "POST" else get(house.door, BASE + path)
    reply = run(call)
    assert reply.status == status
    assert says in reply.json()["error"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        ({"records": [{"amount": "x"}]}, 422),
        ({"records": [record()] * 51}, 413),
        (b" " * 20_001, 413),
    ],
)
def test_a_bad_request_gets_json_and_leaves_no_record(
    open_door: Open, register: Register, content: Any, status: int
) -> None:
    house = open_door(route(1, register(lightgbm_model(5))))
    reply = run(post(house.door, f"{BASE}/predict", content, headers={"x-request-id": "r9"}))
    assert (reply.status, reply.headers["content-type"]) == (status, "application/json")
    assert reply.json()["request_id"] == "r9"
    assert house.records() == []


def test_an_oversized_request_id_is_refused(open_door: Open, register: Register) -> None:
    house = open_door(route(1, register(lightgbm_model(5))))
    reply = run(post(house.door, f"{BASE}/predict", {"records": [record()]}, headers={"x-request-id": "x" * 300}))
    assert reply.status == 400


def test_a_failing_champion_is_an_error_without_a_stack_trace_and_is_recorded(
    open_door: Open, register: Register
) -> None:
    house = open_door(route(1, register(python_model("FirstInput"))))
    reply = run(house.predict(record(-1.0)))
    assert reply.status == 500
    assert reply.json()["error"] == "model version 1 raised ValueError: negative amount"
    (kept,) = house.records()
    assert (kept.status, kept.assigned, kept.error) == (500, "champion", reply.json()["error"])
    assert np.isnan(kept.scores).all()


def test_the_model_describes_itself(open_door: Open, register: Register) -> None:
    house = open_door(route(1, register(lightgbm_model(5))))

    async def ask() -> list[Reply]:
        return [await get(house.door, BASE + path) for path in ("", "/ready", "/openapi.json", "/docs", "/versions/1")]

    metadata, ready, openapi, docs, version = run(ask())
    assert metadata.json()["versions"] == ["1"]
    assert metadata.json()["inputs"][0] == {"name": "amount", "datatype": "FP64", "shape": [-1]}
    assert ready.json() == {"name": MODEL, "ready": True, "version": "1"}
    assert openapi.json()["openapi"] == "3.1.0"
    assert docs.headers["content-type"].startswith("text/html")
    assert version.json() == metadata.json()


def test_labels_are_kept(open_door: Open, register: Register) -> None:
    house = open_door(route(1, register(lightgbm_model(5))))
    sent = {"labels": [{"request_id": "a", "label": 1}, {"request_id": "b", "row": 2, "label": 0}]}
    assert run(post(house.door, f"{BASE}/labels", sent)).json() == {"kept": 2}
    assert house.mailbox.labels == [Label("a", 1.0, 0), Label("b", 0.0, 2)]


@pytest.mark.parametrize(
    "content",
    [
        {"labels": []},
        {"labels": [{"request_id": "a"}]},
        {"labels": [{"request_id": "a", "label": "1"}]},
        {"labels": [{"request_id": "a", "label": 1, "row": -1}]},
        {"labels": [{"request_id": "", "label": 1}]},
        {"labels": [{"request_id": "a", "label": 1, "extra": 1}]},
        b"{",
    ],
)
def test_a_bad_label_keeps_none(open_door: Open, register: Register, content: Any) -> None:
    house = open_door(route(1, register(lightgbm_model(5))))
    assert run(post(house.door, f"{BASE}/labels", content)).status in (400, 422)
    assert house.mailbox.labels == []


# -- canary -----------------------------------------------------------------------------------------------------------


async def with_canary(house: House, share: float, champion: int = 1, canary: int = 2) -> RouteRecord:
    pushed = route(2, champion, canary=canary, share=share)
    await house.door.apply(pushed)
    return pushed


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


async def raises(_: Matrix) -> Any:
    raise ConnectionError("replica is gone")


async def hangs(_: Matrix) -> Any:
    await asyncio.sleep(30)


async def answers_nan(matrix: Matrix) -> Any:
    return np.full(len(matrix), np.nan)


async def answers_more_rows(matrix: Matrix) -> Any:
    return np.full(len(matrix) + 1, 0.5)


async def answers_nothing(_: Matrix) -> Any:
    return None


async def answers_why_not(_: Matrix) -> Any:
    return "model version 2 raised ValueError"


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


def test_a_version_asked_for_by_name_is_no_part_of_the_rollout(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1))

    async def drive() -> Reply:
        await with_canary(house, 1.0)
        return await post(house.door, f"{BASE}/versions/1/predict", {"records": [record()]})

    assert run(drive()).json()["role"] == "champion"
    (kept,) = house.records()
    assert (kept.assigned, kept.version) == ("direct", 1)


# -- routes -----------------------------------------------------------------------------------------------------------


def test_an_older_epoch_changes_nothing(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(5, 1))
    assert run(house.door.apply(route(4, 2))) == Applied(5, 1, None, 0.0)
    assert run(house.door.apply(route(5, 2))) == Applied(5, 1, None, 0.0)


def test_a_newer_epoch_swaps_the_champion_and_keeps_the_previous_one_warm(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1))

    async def drive() -> tuple[Applied, Reply, Reply]:
        applied = await house.door.apply(route(2, 2, previous=1))
        previous = await post(house.door, f"{BASE}/versions/1/predict", {"records": [record()]})
        return applied, await house.predict(), previous

    applied, now, previous = run(drive())
    assert applied == Applied(2, 2, None, 0.0)
    assert (now.json()["model_version"], now.json()["role"]) == ("2", "champion")
    assert (previous.json()["model_version"], previous.json()["role"]) == ("1", "direct")


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
    assert house.door.applied == Applied(1, 1, None, 0.0)
    assert issubclass(PredictionError, ModelError)


def test_a_canary_is_linked_later_when_the_door_opened_on_its_epoch(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    pushed = route(4, 1, canary=2, share=1.0)
    house = open_door(pushed)
    assert house.door.applied.canary is None
    assert run(house.door.apply(pushed)) == Applied(4, 1, 2, 1.0)


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
            canary = {"canary": 1, "share": 0.5} if epoch % 3 == 0 else {}
            await house.door.apply(route(epoch, 1 + epoch % 2, **canary))
            await asyncio.sleep(0.01)
        done.set()
        await asyncio.gather(*clients)
        return seen

    seen = run(drive())
    assert set(seen) == {1, 2}
    assert len(house.records()) == len(seen)
