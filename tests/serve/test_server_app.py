from collections.abc import Mapping

import pytest

from mlops_ray.serve.access import Access
from mlops_ray.serve.server_app import ServerApp
from mlops_ray.store import issue_key
from tests.serve.asgi_client import Message, Reply, call, get
from tests.serve.samples import run


def ask(path: str, models: Mapping[str, bool]) -> Reply:
    return run(get(ServerApp("1.2.3", lambda: models), path))


def test_the_server_says_what_it_is() -> None:
    content = ask("/v2", {}).json()
    assert content == {"name": "mlops_ray", "version": "1.2.3", "extensions": ["binary_tensor_data"]}


def test_it_lives_whatever_its_models_do() -> None:
    assert ask("/v2/health/live", {"a": False}).status == 200


@pytest.mark.parametrize(
    ("models", "status"), [({}, 200), ({"a": True, "b": True}, 200), ({"a": True, "b": False}, 503)]
)
def test_it_is_ready_when_every_deployed_model_is(models: Mapping[str, bool], status: int) -> None:
    reply = ask("/v2/health/ready", models)
    assert (reply.status, reply.json()["models"]) == (status, models)
    assert ("retry-after" in reply.headers) == (status == 503)


def test_models_are_listed() -> None:
    assert ask("/v2/models/", {"b": True, "a": False}).json() == {"models": ["a", "b"]}


@pytest.mark.parametrize("path", ["/v2/models/zz/infer", "/v2/models/zz", "/nothing", "/", "/v2/other"])
def test_an_unknown_path_names_the_models_there_are(path: str) -> None:
    reply = ask(path, {"churn": True})
    assert reply.status == 404
    assert "models served: churn" in reply.json()["error"]


def test_the_lifespan_is_answered() -> None:
    incoming: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message["type"])

    run(ServerApp("1", dict)({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_it_answers_in_json_when_nobody_knows_the_state_of_the_models() -> None:
    def away() -> Mapping[str, bool]:
        raise ConnectionError("the controller is gone")

    for path in ("/v2/health/ready", "/v2/models/x"):
        reply = run(get(ServerApp("1.2.3", away), path))
        assert reply.status == 503
        assert "try again" in reply.json()["error"]


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models"])
def test_the_server_is_only_read(path: str) -> None:
    reply = run(call(ServerApp("1", dict), "POST", path))
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


def test_all_but_health_needs_a_key_where_keys_are_asked_for() -> None:
    key, record = issue_key("anybody", ["label"], now_s=0.0)
    app = ServerApp("1", dict, Access(lambda: [record], required=True))
    for path in ("/v2", "/v2/models", "/v2/models/zz/infer", "/nothing"):
        assert run(get(app, path)).status == 401
        assert run(get(app, path, headers={"x-api-key": key})).status in (200, 404)
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert run(get(app, path)).status == 200


def test_another_machine_is_refused_where_keys_are_off_for_want_of_others() -> None:
    app = ServerApp("1", dict, Access(only_here=True))
    assert run(get(app, "/v2", peer="10.0.0.9")).status == 403
    assert run(get(app, "/v2/health/ready", peer="10.0.0.9")).status == 200
