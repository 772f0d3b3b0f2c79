"""What stands between uvicorn and Serve in every replica."""

from collections.abc import Awaitable, Callable

from mlops_ray.serve.http import Receive, Scope, Send

__all__ = ["UnwatchedClients"]

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
