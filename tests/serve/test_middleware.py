from mlops_ray.serve.http import Receive, Scope, Send
from mlops_ray.serve.middleware import UnwatchedClients, middlewares
from tests.serve.samples import run

UNWATCHED = (b"x-request-disconnect-disabled", b"?1")


def headers_seen(scope: Scope) -> list[tuple[bytes, bytes]]:
    seen: list[Scope] = []

    async def app(inner: Scope, _: Receive, __: Send) -> None:
        seen.append(inner)

    async def receive() -> Scope:
        return {}

    async def send(_: Scope) -> None:
        return None

    run(UnwatchedClients(app)(scope, receive, send))
    headers: list[tuple[bytes, bytes]] = seen[0]["headers"]
    return headers


def test_clients_of_models_are_not_watched() -> None:
    assert UNWATCHED in headers_seen({"type": "http", "path": "/v2/models/a/infer", "headers": []})


def test_other_applications_of_the_cluster_are_left_alone() -> None:
    assert headers_seen({"type": "http", "path": "/other", "headers": []}) == []


def test_serve_gets_the_middleware() -> None:
    (middleware,) = middlewares()
    assert repr(middleware) == "Middleware(UnwatchedClients)"
