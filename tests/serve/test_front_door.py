from typing import Any

import numpy as np
import pytest

from mlops_ray.serve.model_app import Label
from tests.serve.asgi_client import Reply, get, post
from tests.serve.house import BASE, Open
from tests.serve.samples import MODEL, Register, booster, lightgbm_model, python_model, record, route, run


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
    ("request_line", "status", "says"),
    [
        (("GET", "/predict"), 405, "expected POST"),
        (("POST", "/ready"), 405, "expected GET"),
        (("GET", "/nothing"), 404, "expected infer, predict"),
        (("GET", "/versions/7/ready"), 404, "versions served: 1"),
        (("GET", "/versions/²/ready"), 404, "versions served: 1"),
        (("POST", f"/versions/{'9' * 5000}/predict"), 404, "versions served: 1"),
        (("GET", "elsewhere"), 404, "no such path"),
    ],
)
def test_a_wrong_path_or_method_says_what_is_there(
    open_door: Open, register: Register, request_line: tuple[str, str], status: int, says: str
) -> None:
    method, path = request_line
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
        {"labels": [{"request_id": "b", "label": 1}, {"request_id": "a", "label": 2}]},
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


def test_the_previous_champion_stays_warm_for_as_long_as_the_spec_says(open_door: Open, register: Register) -> None:
    register(lightgbm_model(5)), register(lightgbm_model(6))
    house = open_door(route(1, 1))
    pushed = route(2, 2, previous=1)
    run(house.door.apply(pushed))
    house.door.cool(pushed.updated_s + 599)
    assert sorted(house.door.signatures()) == [1, 2]
    house.door.cool(pushed.updated_s + 601)
    assert sorted(house.door.signatures()) == [2]
