"""What stands between uvicorn and Serve in every replica."""

from collections.abc import Awaitable, Callable

from starlette.middleware import Middleware

from mlops_ray.serve.http import Receive, Scope, Send

__all__ = ["UnwatchedClients", "middlewares"]

App = Callable[[Scope, Receive, Send], Awaitable[None]]
_UNWATCHED = (b"x-request-disconnect-disabled", b"?1")


class UnwatchedClients:
    """Tells Serve not to watch whether the clients of models hang up while they wait.

    For that Serve makes two tasks and a queue for every request, a fifth of its CPU time. Ours end soon by their own
    deadlines, and what was answered is recorded whether or not the client still listens.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] == "http" and scope["path"].startswith("/v2/models/"):
            scope["headers"].append(_UNWATCHED)
        await self._app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """What Serve calls in every process that speaks HTTP, by RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH."""
    return [Middleware(UnwatchedClients)]
