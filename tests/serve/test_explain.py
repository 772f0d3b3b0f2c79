"""`POST explain`: what is answered, what is refused, and that nothing of it touches a prediction."""

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mlops_ray.model import InputColumn, Signature
from mlops_ray.serve import Versions
from mlops_ray.serve.explaining import Explaining
from mlops_ray.spec import parse_spec
from mlops_ray.store import Event, ModelRecord
from tests.serve.asgi_client import Reply, get, post
from tests.serve.house import BASE, House, Open
from tests.serve.samples import MODEL, SPEC, Register, booster, lightgbm_model, python_model, record, route, run

PATIENT = SPEC.replace("serve: {", "serve: {explain: {deadline_ms: 120000}, ")
IMPATIENT = SPEC.replace("serve: {", "serve: {explain: {deadline_ms: 120000, max_rows: 2, max_waiting: 0}, ")
COLOURS = Signature(
    (InputColumn("first", "float", False), InputColumn("second", "float", False)),
    "multiclass",
    classes=("red", "green", "blue"),
)


@pytest.fixture
def house(versions: Versions, register: Register, open_door: Open) -> Iterator[Any]:
    """Opens a front door on a model; its explaining process ends with the test."""
    opened: list[House] = []

    def build(*models: Any, spec: str = PATIENT, signature: Signature | None = None) -> House:
        with versions.store.change(Event("model.registered", MODEL, {}, "test", 0.0)) as change:
            change.put_model(ModelRecord(MODEL, parse_spec(spec).model_dump_json(), 0.0))
        for model in models:
            register(model) if signature is None else register(model, signature)
        opened.append(open_door(route(1, 1)))
        return opened[-1]

    yield build
    for each in opened:
        explaining(each)._end()


def explaining(house: House) -> Explaining:
    return house.door._explaining


def explain(house: House, content: Any, *, path: str = "explain", **options: Any) -> Reply:
    return run(post(house.door, f"{BASE}/{path}", content, **options))


def test_contributions_of_trees_are_those_of_lightgbm_and_add_up(house: Any) -> None:
    said = explain(house(lightgbm_model(7)), {"records": [record(), record(2.0, visits=None)], "request_id": "r7"})
    assert said.status == 200, said.body
    content = said.json()
    assert (content["request_id"], content["model_version"], content["exact"]) == ("r7", "1", True)
    assert (content["method"], content["scale"]) == ("tree_shap", "log_odds")
    matrix = np.array([[5.0, 3.0, 1.0, 1.0], [2.0, np.nan, 1.0, 1.0]])
    expected = booster(7).predict(matrix, pred_contrib=True)
    for row, found in zip(expected, content["explanations"], strict=True):
        assert list(found["contributions"]) == ["amount", "visits", "member", "plan"]
        assert list(found["contributions"].values()) == pytest.approx(row[:-1].tolist())
        assert found["base"] == pytest.approx(row[-1])
        assert found["base"] + sum(found["contributions"].values()) == pytest.approx(found["score"])
        assert found["prediction"]["score"] == pytest.approx(1 / (1 + np.exp(-found["score"])))


def test_open_inference_bodies_are_explained_alike_and_by_version(house: Any) -> None:
    opened = house(lightgbm_model(7))
    tensors = [
        {"name": name, "shape": [1], "datatype": kind, "data": [value]}
        for name, kind, value in (
            ("amount", "FP64", 5.0),
            ("visits", "INT64", 3),
            ("member", "BOOL", True),
            ("plan", "BYTES", "paid"),
        )
    ]
    plain = explain(opened, {"records": [record()]}).json()["explanations"]
    for path in ("explain", "versions/1/explain"):
        said = explain(opened, {"inputs": tensors}, path=path)
        assert said.status == 200, said.body
        assert said.json()["explanations"] == plain
    assert explain(opened, {"records": [record()]}, path="versions/9/explain").status == 404


def test_any_other_model_gets_an_estimate_with_its_error(house: Any) -> None:
    said = explain(house(python_model("Rising")), {"records": [record(0.75)]})
    assert said.status == 200, said.body
    (found,) = said.json()["explanations"]
    assert (said.json()["method"], said.json()["exact"]) == ("permutation_sampling", False)
    assert found["contributions"]["plan"] == 0
    assert found["base"] + found["contributions"]["amount"] == pytest.approx(1 / (1 + np.exp(-0.75)))
    assert found["standard_errors"]["amount"] > 0


def test_a_class_is_explained_that_is_asked_for_else_the_likeliest(house: Any) -> None:
    opened = house(python_model("Likeliest"), spec=PATIENT, signature=COLOURS)
    content = {"records": [{"first": 1.0, "second": 0.0}]}

    async def ask(query: bytes) -> Any:
        return await _asked(opened, content, query)

    likeliest, named, unknown = (run(ask(query)) for query in (b"", b"class=red", b"class=pink"))
    assert likeliest["explanations"][0]["class"] == "green"
    assert named["explanations"][0]["class"] == "red"
    assert named["explanations"][0]["score"] == pytest.approx(0.1)
    assert "expected one of the classes red, green, blue, found 'pink'" in unknown["error"]


async def _asked(house: House, content: Any, query: bytes) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await house.door({**scope, "query_string": query}, receive, send)

    return (await post(app, f"{BASE}/explain", content)).json()


@pytest.mark.parametrize(
    ("content", "status", "path"),
    [
        (b"{", 400, None),
        ({"records": []}, 422, "$.records"),
        ({"records": [{"visits": 1}]}, 422, "$.records[0]"),
        ({"records": [record("many")]}, 422, "$.records[0].amount"),
        ({"inputs": []}, 422, None),
        ({"records": [record()] * 3}, 413, "$.records"),
    ],
)
def test_what_cannot_be_read_is_refused_as_elsewhere(house: Any, content: Any, status: int, path: str | None) -> None:
    opened = house(lightgbm_model(2), spec=IMPATIENT)
    said = explain(opened, content)
    assert said.status == status, said.body
    if path is not None:
        assert said.json()["path"] == path
    assert explaining(opened)._child is None, "no process is started for it"


def test_a_model_of_pictures_says_why_it_is_not_explained(house: Any) -> None:
    pictures = Signature((InputColumn("photo", "image", False, shape=(4, 4, 3)),), "binary")
    opened = house(python_model("Half"), spec=PATIENT, signature=pictures)
    said = explain(opened, {"records": [{"photo": ""}]})
    assert said.status == 501
    assert "a model of pictures has no explanation" in said.json()["error"]
    assert "/explain" not in " ".join(run(get(opened.door, f"{BASE}/openapi.json")).json()["paths"])


def test_explanations_can_be_off(house: Any) -> None:
    off = house(lightgbm_model(2), spec=SPEC.replace("serve: {", "serve: {explain: {enabled: false}, "))
    said = explain(off, {"records": [record()]})
    assert said.status == 404
    assert "serve.explain.enabled" in said.json()["error"]


def test_explanations_are_no_part_of_the_records(house: Any) -> None:
    opened = house(lightgbm_model(2))
    assert explain(opened, {"records": [record()]}).status == 200
    assert opened.records() == []


def test_who_would_wait_too_long_in_line_is_told_to_come_again(house: Any) -> None:
    opened = house(python_model("Slow"), spec=IMPATIENT)

    async def both() -> list[Reply]:
        asked = (post(opened.door, f"{BASE}/explain", {"records": [record()]}) for _ in range(2))
        return await asyncio.gather(*asked)

    statuses = {reply.status: reply for reply in run(both())}
    assert set(statuses) == {200, 503}
    assert int(statuses[503].headers["retry-after"]) >= 1
    assert "serve.explain.max_waiting" in statuses[503].json()["error"]


def test_what_takes_too_long_ends_with_its_process_and_the_next_one_has_another(house: Any) -> None:
    opened = house(python_model("Slow"))
    assert explain(opened, {"records": [record()]}).status == 200
    first = explaining(opened)._child
    assert first is not None
    hurried = explain(opened, {"records": [record()]}, headers={"x-request-timeout-ms": "50"})
    assert hurried.status == 504
    with pytest.raises(ProcessLookupError):
        os.kill(first.pid, 0)
    assert explain(opened, {"records": [record()]}).status == 200


def test_a_process_that_was_killed_is_replaced(house: Any) -> None:
    opened = house(lightgbm_model(2))
    assert explain(opened, {"records": [record()]}).status == 200
    child = explaining(opened)._child
    assert child is not None
    os.kill(child.pid, 9)
    child._process.wait()
    assert explain(opened, {"records": [record()]}).status == 200


def test_predictions_are_answered_while_an_explanation_is_made(house: Any) -> None:
    opened = house(python_model("Half"))

    async def together() -> tuple[Reply, list[float]]:
        slow = asyncio.create_task(post(opened.door, f"{BASE}/explain", {"records": [record()]}))
        answered = []
        while not slow.done():
            assert (await opened.predict()).status == 200
            answered.append(time.perf_counter())
            await asyncio.sleep(0.01)
        return await slow, answered

    said, answered = run(together())
    assert said.status == 200
    assert len(answered) > 10, "the process takes longer to start than ten predictions"


def test_an_unused_process_ends(house: Any) -> None:
    opened = house(
        lightgbm_model(2), spec=SPEC.replace("serve: {", "serve: {explain: {idle_s: 0.2, deadline_ms: 90000}, ")
    )

    async def ask_and_wait() -> None:
        assert (await post(opened.door, f"{BASE}/explain", {"records": [record()]})).status == 200
        for _ in range(200):
            if explaining(opened)._child is None:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the process goes on")

    run(ask_and_wait())


def test_the_document_describes_the_answer(house: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    opened = house(lightgbm_model(3))
    document = run(get(opened.door, f"{BASE}/openapi.json")).json()
    answer = explain(opened, {"records": [record()]}).json()
    schema = {"$ref": "#/components/schemas/ExplainAnswer", **document}
    jsonschema.Draft202012Validator(schema).validate(answer)
    assert f"{BASE}/versions/{{version}}/explain" in document["paths"]
    assert b"POST explain" in run(get(opened.door, f"{BASE}/docs")).body
