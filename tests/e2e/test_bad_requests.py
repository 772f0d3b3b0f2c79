"""Over HTTP, whatever is wrong with a request is said in JSON, and nothing is changed by it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from mlops_ray.spec import Workspace
from tests.e2e.toy import Toy

pytestmark = pytest.mark.slow

GOOD = {"a": 0.5, "b": 2, "c": "x"}
_TIMEOUT_S = 30
_ROWS, _BYTES = 10_000, 16 * 2**20  # what serve.max_rows and serve.max_body_bytes allow


@pytest.fixture(scope="module")
def toy(live: Workspace) -> Iterator[Toy]:
    """A champion that answers."""
    toy = Toy(live, "strict").first_champion()
    yield toy
    toy.retire()


def record(**changes: Any) -> dict[str, Any]:
    """A body with one record, fields of it changed; None drops one."""
    return {"records": [{name: value for name, value in (GOOD | changes).items() if value is not ...}]}


def tensors(**changes: Any) -> dict[str, Any]:
    """An infer body for one row, keys of the tensor of `a` changed."""
    a = {"name": "a", "shape": [1], "datatype": "FP64", "data": [0.5]} | changes
    return {"inputs": [a, {"name": "c", "shape": [1], "datatype": "BYTES", "data": ["x"]}]}


# path below the model, body, status, words of the message (or path) that say what was expected and what was found
REFUSED: dict[str, tuple[str, Any, int, tuple[str, ...]]] = {
    "a missing field": ("predict", record(a=...), 422, ("`a`", "missing", "$.records[0]")),
    "an extra field": ("predict", record(zz=1), 422, ("`zz`", "unknown", "$.records[0]")),
    "a string for a number": ("predict", record(a="1"), 422, ("float", "str", "$.records[0].a")),
    "a fraction for an int": ("predict", record(b=1.5), 422, ("int", "float", "$.records[0].b")),
    "a number for a category": ("predict", record(c=1), 422, ("str", "int", "$.records[0].c")),
    "null where none is allowed": ("predict", record(a=None), 422, ("float", "null", "$.records[0].a")),
    "NaN": ("predict", '{"records": [{"a": NaN, "c": "x"}]}', 400, ("NaN", "not valid JSON")),
    "a number beyond float": ("predict", '{"records": [{"a": 1e999, "c": "x"}]}', 4, ("out of range",)),
    "an int beyond int64": ("predict", record(b=2**70), 422, ("$.records[0].b",)),
    "a field of 5,000 characters": ("predict", record(c="x" * 5000), 422, ("4096", "$.records[0].c")),
    "one row too many": ("predict", {"records": [GOOD] * (_ROWS + 1)}, 413, (str(_ROWS), str(_ROWS + 1))),
    "no rows": ("predict", {"records": []}, 422, ("at least one", "empty")),
    "no records at all": ("predict", {}, 422, ("`records`", "missing")),
    "a list for an object": ("predict", [GOOD], 422, ("object", "array")),
    "a body too large": ("predict", " " * (_BYTES + 1), 413, (str(_BYTES),)),
    "broken JSON": ("predict", '{"records": [', 400, ("not valid JSON",)),
    "no body": ("predict", "", 400, ("not valid JSON",)),
    "a version there is not": ("versions/7/predict", record(), 404, ("7", "versions served: 1")),
    "a version that is no number": ("versions/new/predict", record(), 404, ("'new'", "versions served: 1")),
    "a path there is not": ("predikt", record(), 4, ("predikt", "predict")),
    "a missing tensor": ("infer", {"inputs": tensors()["inputs"][1:]}, 422, ("'a'", "missing")),
    "an unknown tensor": ("infer", tensors(name="zz"), 422, ("'zz'", "a, b, c")),
    "a tensor of another type": ("infer", tensors(datatype="BYTES", data=["q"]), 422, ("BYTES", "FP64", "$.inputs[a]")),
    "a shape that is not the data's": ("infer", tensors(shape=[3]), 422, ("3", "1", "inputs[0]")),
    "an unknown output": ("infer", tensors() | {"outputs": [{"name": "zz"}]}, 422, ("'zz'", "score, label")),
    "a label without its value": ("labels", {"labels": [{"request_id": "r"}]}, 422, ("`label`", "$.labels[0]")),
    "no labels": ("labels", {"labels": []}, 422, ("at least one", "empty")),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_a_wrong_request_is_refused_with_what_was_expected_and_found(toy: Toy, wrong: str) -> None:
    path, body, status, words = REFUSED[wrong]
    before = _state(toy)
    content = body if isinstance(body, str) else json.dumps(body)
    response = requests.post(f"{toy.url}/{path}", data=content, timeout=_TIMEOUT_S)
    _assert_refused(response, status, words)
    _assert_unharmed(toy, before)


@pytest.mark.parametrize(("method", "path"), [("GET", "predict"), ("PUT", "infer"), ("DELETE", ""), ("GET", "labels")])
def test_a_method_that_is_not_for_a_path_is_refused(toy: Toy, method: str, path: str) -> None:
    before = _state(toy)
    response = requests.request(method, f"{toy.url}/{path}", timeout=_TIMEOUT_S)
    _assert_refused(response, 405, (method, "expected"))
    _assert_unharmed(toy, before)


@pytest.mark.parametrize("path", ["v2/models/nobody/predict", "v2/models/nobody", "v3"])
def test_a_model_or_path_that_does_not_exist_is_a_404_that_says_what_does(toy: Toy, path: str) -> None:
    response = requests.post(f"{toy.workspace.serve}/{path}", json=record(), timeout=_TIMEOUT_S)
    _assert_refused(response, 404, ("models served", toy.name))


def _assert_refused(response: requests.Response, status: int, words: tuple[str, ...]) -> None:
    assert response.status_code // 100 == 4, response.text
    assert status in (response.status_code, 4), response.text
    assert response.headers["content-type"].startswith("application/json")
    content = response.json()
    assert set(content) <= {"error", "path", "request_id"}
    assert "Traceback" not in content["error"]
    said = f"{content['error']} {content.get('path', '')}"
    assert [word for word in words if word not in said] == [], said


def _state(toy: Toy) -> tuple[Any, ...]:
    """All that a request must not change."""
    mine = [event.hash for event in toy.store.events() if event.subject.startswith(toy.name)]
    return mine, toy.store.route(toy.name), toy.store.model_versions(toy.name)


def _assert_unharmed(toy: Toy, before: tuple[Any, ...]) -> None:
    assert _state(toy) == before
    response = requests.post(f"{toy.url}/predict", json=record(), timeout=_TIMEOUT_S)
    assert response.status_code == 200
    assert response.json()["predictions"][0]["score"] == pytest.approx(toy.scores(1, [GOOD])[0], abs=1e-12)
