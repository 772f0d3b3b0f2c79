"""The routes of the server as a whole: `/v2`, liveness, readiness, and a clear 404 for everything else."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from mlops_ray.serve.http import Receive, Response, Scope, Send, error_response, json_response, send_response

__all__ = ["ServerApp"]

_log = logging.getLogger(__name__)

_EXTENSIONS = ["binary_tensor_data"]


class ServerApp:
    """Answers whatever no model's own application takes.

    `readiness` tells for each deployed model whether it answers; it may block, and is called on another thread.
    """

    def __init__(self, version: str, readiness: Callable[[], Mapping[str, bool]]) -> None:
        self._version = version
        self._readiness = readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        try:
            response = await self._respond(scope["path"].rstrip("/"))
        except Exception as error:  # noqa: BLE001 - the border to Serve's controller and the store
            _log.warning("readiness is not known: %s", error)
            response = error_response("the state of the models is not known at the moment; try again", 503)
        await send_response(send, response)

    async def _respond(self, path: str) -> Response:
        if path == "/v2":
            return json_response({"name": "mlops_ray", "version": self._version, "extensions": _EXTENSIONS})
        if path == "/v2/health/live":
            return json_response({"live": True})
        models = await self._models()
        if path == "/v2/health/ready":
            ready = all(models.values())
            return json_response({"ready": ready, "models": models}, status=200 if ready else 503)
        if path == "/v2/models":
            return json_response({"models": sorted(models)})
        known = ", ".join(sorted(models)) or "none"
        if path.startswith("/v2/models/"):
            name = path.split("/")[3]
            return error_response(f"no model {name!r} is served here; models served: {known}", 404)
        return error_response(
            f"no such path: {path or '/'}; expected /v2/models/<name>/..., models served: {known}", 404
        )

    async def _models(self) -> Mapping[str, bool]:
        return await asyncio.get_running_loop().run_in_executor(None, self._readiness)


async def _lifespan(receive: Receive, send: Send) -> None:
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})
