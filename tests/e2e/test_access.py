"""On a real cluster: keys are asked for where the workspace says so, and where they are not nobody else gets there."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest
import requests
import tritonclient.http as triton

from mlops_ray.control.operations import register
from mlops_ray.serve import RayHosting
from mlops_ray.spec import Workspace
from mlops_ray.store import Event, RouteRecord, issue_key, key_id
from tests.e2e.toy import Toy, rows, until
from tests.serve.test_arrow_rows import stream

pytestmark = pytest.mark.slow

_TIMEOUT_S = 30.0
_LISTENING = 90.0
RECORDS = {"records": rows(1, seed=3)}


@dataclass(frozen=True)
class Guarded:
    """A served model that asks for keys, and keys for it."""

    toy: Toy
    keys: dict[str, str]

    def post(self, path: str, key: str = "", **options: Any) -> requests.Response:
        """POST to the model with one of the keys."""
        headers = {"authorization": f"Bearer {self.keys.get(key, key)}"} if key else {}
        sent = {"json": RECORDS, **options, "headers": {**headers, **options.get("headers", {})}}
        return requests.post(f"{self.toy.url}/{path}", timeout=_TIMEOUT_S, **sent)


@pytest.fixture(scope="module")
def guarded(live: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A model of a workspace of its own, which asks for keys although it is on loopback."""
    home = tmp_path_factory.mktemp("guarded")
    addresses = {"serve": live.serve, "ray_address": live.ray_address, "namespace": "guarded"}
    workspace = Workspace.at(home, auth="on", **addresses)
    toy = Toy(workspace, "guarded")
    toy.store.create()
    register(toy.store, toy.spec, actor="test", now_s=time.time())
    version = toy.add_version()
    keys = {role: _made(toy, role) for role in ("infer", "label", "admin")} | {"slow": _made(toy, "infer", 1.0)}
    with toy.store.change(Event("test.route", toy.name, {}, "test", time.time())) as change:
        change.put_route(RouteRecord(toy.name, 1, version, None, 0.0, "", None, time.time()))
    hosting = RayHosting(workspace)
    hosting.open_front(toy.spec)
    until(lambda: toy.name in (s := hosting.statuses()) and s[toy.name].ready, "the front door", timeout_s=_LISTENING)
    url = f"{toy.url}/ready"
    until(lambda: requests.get(url, timeout=_TIMEOUT_S).status_code == 200, "an answer", timeout_s=_LISTENING)
    yield Guarded(toy, keys)
    hosting.close(toy.name)


def _made(toy: Toy, role: str, requests_per_s: float | None = None) -> str:
    key, record = issue_key(role, [role], requests_per_s=requests_per_s, now_s=time.time())
    with toy.store.change(Event("api_key.created", record.id, {}, "test", time.time())) as change:
        change.insert_api_key(record)
    return key


def test_who_has_no_key_or_one_for_something_else_gets_nothing(guarded: Guarded) -> None:
    assert [guarded.post("predict", key).status_code for key in ("", "mlr_nonsense", "label", "infer", "admin")] == [
        *(401, 401, 403, 200, 200)
    ]
    labels = {"labels": [{"request_id": "r", "label": 1}]}
    assert [guarded.post("labels", key, json=labels).status_code for key in ("", "infer")] == [401, 403]
    assert requests.get(f"{guarded.toy.url}/docs", timeout=_TIMEOUT_S).status_code == 401
    assert requests.get(f"{guarded.toy.url}/ready", timeout=_TIMEOUT_S).status_code == 200
    assert guarded.post("predict", "infer", headers={"x-forwarded-for": "203.0.113.9"}).status_code == 200


def test_a_key_that_asks_too_often_is_told_when_to_come_back(guarded: Guarded) -> None:
    answers = [guarded.post("predict", "slow") for _ in range(6)]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert {answer.headers.get("retry-after") for answer in answers} == {None, "1"}


def test_a_key_made_later_opens_and_a_revoked_one_opens_nothing_within_seconds(guarded: Guarded) -> None:
    guarded.keys["later"] = _made(guarded.toy, "infer")
    until(lambda: guarded.post("predict", "later").status_code == 200, "the new key", timeout_s=30)
    id = key_id(guarded.keys["later"])
    assert id is not None
    with guarded.toy.store.change(Event("api_key.revoked", id, {}, "test", time.time())) as change:
        change.revoke_api_key(id, time.time())
    until(lambda: guarded.post("predict", "later").status_code == 401, "its end", timeout_s=30)


def test_a_client_that_is_not_ours_sends_a_key_too(guarded: Guarded) -> None:
    client = triton.InferenceServerClient(
        guarded.toy.workspace.serve.removeprefix("http://"), network_timeout=_TIMEOUT_S
    )
    inputs = [triton.InferInput("a", [1], "FP64"), triton.InferInput("c", [1], "BYTES")]
    inputs[0].set_data_from_numpy(np.array([0.5]))
    inputs[1].set_data_from_numpy(np.array(["x"], np.object_))
    with pytest.raises(triton.InferenceServerException, match="expected an API key"):
        client.infer(guarded.toy.name, inputs)
    result = client.infer(guarded.toy.name, inputs, headers={"x-api-key": guarded.keys["infer"]})
    assert result.as_numpy("score") == pytest.approx(guarded.toy.scores(1, [{"a": 0.5, "c": "x"}]))
    client.close()


def test_many_rows_go_through_haproxy_as_one_stream(guarded: Guarded) -> None:
    records = [{**row, "b": row["b"] or 1} for row in rows(20_000, seed=5)]
    sent = {"content-type": "application/vnd.apache.arrow.stream", "x-request-timeout-ms": "3000"}
    answer = guarded.post("arrow", "infer", json=None, data=stream(pa.Table.from_pylist(records)), headers=sent)
    assert answer.status_code == 200, answer.text
    table = pa.ipc.open_stream(answer.content).read_all()
    np.testing.assert_allclose(table["score"].to_numpy(), guarded.toy.scores(1, records), rtol=0, atol=1e-12)


def test_where_keys_are_off_on_a_loopback_address_nothing_answers_on_another(live: Workspace, guarded: Guarded) -> None:
    assert (live.auth, live.serve.startswith("http://127.0.0.1:")) == ("auto", True)
    first, last = (int(os.environ[f"RAY_SERVE_DIRECT_INGRESS_{which}_HTTP_PORT"]) for which in ("MIN", "MAX"))
    ports = {int(live.serve.rsplit(":", 1)[1]), *range(first, last + 1)}
    listening = [c.laddr for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr]
    ours = [address for address in listening if address.port in ports]
    assert len(ours) >= 2  # HAProxy, and a replica at least
    assert {address.ip for address in ours} == {"127.0.0.1"}


def test_a_request_that_was_passed_on_from_elsewhere_is_refused_where_keys_are_off(live: Workspace) -> None:
    url = f"{live.serve}/v2/models"
    assert requests.get(url, timeout=_TIMEOUT_S).status_code == 200
    passed_on = requests.get(url, headers={"x-forwarded-for": "203.0.113.9"}, timeout=_TIMEOUT_S)
    assert passed_on.status_code == 403
    assert "MLOPS_RAY_AUTH=on" in passed_on.json()["error"]
