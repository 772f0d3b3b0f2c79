"""The routes of the server as a whole: `/v2`, liveness, readiness, and a clear 404 for everything else."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from mlops_ray.errors import RequestError
from mlops_ray.serve.access import Access
from mlops_ray.serve.http import Receive, Response, Scope, Send, error_response, json_response, send_response

__all__ = ["ADMIN", "EXTENSIONS", "METRICS_PATH", "App", "ServerApp"]

ADMIN = "/v2/admin"
"""Where people steer."""
METRICS_PATH = "/metrics"
"""Where Prometheus reads."""
App = Callable[[Scope, Receive, Send], Awaitable[None]]
EXTENSIONS = ("binary_tensor_data",)
"""Of the protocol."""
_log = logging.getLogger(__name__)
_LIVE, _READY = "/v2/health/live", "/v2/health/ready"
_ROUTES = ("/v2", _LIVE, _READY, "/v2/models")


class ServerApp:
    """Answers whatever no model's own application takes.

    `readiness` tells for each deployed model whether it answers; it may block, and is called on another thread.
    `access` says who may ask; without it anybody may. Health is for load balancers, and needs no key. `admin` answers
    what comes under `ADMIN`, and `METRICS_PATH`, and asks for keys itself.
    """

    def __init__(
        self,
        version: str,
        readiness: Callable[[], Mapping[str, bool]],
        access: Access | None = None,
        *,
        admin: App | None = None,
    ) -> None:
        self.version = version
        self._readiness = readiness
        self.access = access or Access()
        self._admin = admin
        self._watch: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if self._admin is not None and f"{scope['path']}/".startswith((f"{ADMIN}/", f"{METRICS_PATH}/")):
            await self._admin(scope, receive, send)
            return
        try:
            response = await self._respond(scope, scope["path"].rstrip("/"))
        except RequestError as error:
            response = error_response(error.message, error.status)
        except Exception as error:  # noqa: BLE001 - the border to Serve's controller and the store
            _log.warning("readiness is not known: %s", error)
            response = error_response("the state of the models is not known at the moment; try again", 503)
        await send_response(send, response)

    async def models(self) -> Mapping[str, bool]:
        """Whether each deployed model answers."""
        return await asyncio.get_running_loop().run_in_executor(None, self._readiness)

    async def _respond(self, scope: Scope, path: str) -> Response:
        if path not in (_LIVE, _READY):
            client = scope.get("client")
            self.access.check(dict(scope["headers"]), None, peer=client[0] if client else "")
        if path in _ROUTES and scope["method"] not in ("GET", "HEAD"):
            message = f"method {scope['method']} is not for this path; expected GET"
            return error_response(message, 405, allow="GET, HEAD")
        if path == "/v2":
            return json_response({"name": "mlops_ray", "version": self.version, "extensions": EXTENSIONS})
        if path == _LIVE:
            return json_response({"live": True})
        models = await self.models()
        if path == _READY:
            ready = all(models.values())
            return json_response({"ready": ready, "models": models}, status=200 if ready else 503)
        if path == "/v2/models":
            return json_response({"models": sorted(models)})
        return _not_found(path, models)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] == "lifespan.startup":
            if self.access.required:
                self._watch = asyncio.get_running_loop().create_task(self.access.watch())
            await send({"type": "lifespan.startup.complete"})
        if self._watch is not None:
            self._watch.cancel()
        await send({"type": "lifespan.shutdown.complete"})


def _not_found(path: str, models: Mapping[str, bool]) -> Response:
    known = ", ".join(sorted(models)) or "none"
    if path.startswith("/v2/models/"):
        name = path.split("/")[3]
        return error_response(f"no model {name!r} is served here; models served: {known}", 404)
    return error_response(f"no such path: {path or '/'}; expected /v2/models/<name>/..., models served: {known}", 404)
