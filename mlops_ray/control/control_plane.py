"""What the server answers besides its own routes: the admin plane, and the page of metrics."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray.exceptions import RayError

from mlops_ray.control.admin_app import AdminApp
from mlops_ray.control.metrics_page import metrics_page
from mlops_ray.errors import RequestError
from mlops_ray.serve import METRICS_PATH, Access, Receive, Response, Scope, Send, error_response, send_response
from mlops_ray.spec import CONTROL_ACTOR, Workspace
from mlops_ray.store import Store
from mlops_ray.telemetry import Page

__all__ = ["ActorTelemetry", "ControlPlane", "Telemetry"]

_log = logging.getLogger(__name__)
_TIMEOUT_S = 5.0

Telemetry = Callable[[], Mapping[str, Any]]
"""What the actors of the loop answer, by `drift` and `control`; None for one that does not answer. May block."""


class ActorTelemetry:
    """The actors of this cluster, asked side by side."""

    def __init__(self, workspace: Workspace) -> None:
        self._namespace = workspace.namespace
        self._drift = workspace.drift_actors

    def __call__(self) -> Mapping[str, Any]:
        """See `Telemetry`."""
        asked = {name: self._ask(name, "telemetry") for name in self._drift}
        asked[CONTROL_ACTOR] = self._ask(CONTROL_ACTOR, "ready")
        calls = [call for call in asked.values() if call is not None]
        if calls:
            ray.wait(calls, num_returns=len(calls), timeout=_TIMEOUT_S)
        told = {name: _answer(name, call) for name, call in asked.items()}
        shards = [told[name] for name in self._drift]
        drift = None if None in shards else {model: counts for shard in shards for model, counts in shard.items()}
        return {"drift": drift, "control": told[CONTROL_ACTOR]}

    def _ask(self, actor: str, method: str) -> Any:
        try:
            return getattr(ray.get_actor(actor, namespace=self._namespace), method).remote()
        except (RayError, ValueError) as error:
            _log.warning("%s is not there: %s", actor, str(error).splitlines()[0])
            return None


def _answer(name: str, call: Any) -> Any:
    try:
        return None if call is None else ray.get(call, timeout=0.1)
    except RayError as error:
        _log.warning("%s does not answer: %s", name, str(error).splitlines()[0])
        return None


class ControlPlane:
    """One ASGI application. Prometheus needs a key with the role `metrics` where keys are on."""

    def __init__(
        self, workspace_json: str, store: Store, access: Access, *, telemetry: Telemetry | None = None
    ) -> None:
        workspace = Workspace.model_validate_json(workspace_json)
        self._admin = AdminApp(store, access)
        self._store = store
        self._access = access
        self._telemetry = telemetry or ActorTelemetry(workspace)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["path"].rstrip("/") == METRICS_PATH:
            await send_response(send, await self._scraped(scope))
        else:
            await self._admin(scope, receive, send)

    async def _scraped(self, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return error_response(f"method {scope['method']} is not for this path", 405, allow="GET, HEAD")
        client = scope.get("client")
        try:
            self._access.check(dict(scope["headers"]), "metrics", peer=client[0] if client else "")
        except RequestError as error:
            return error_response(error.message, error.status)
        try:
            page = await asyncio.get_running_loop().run_in_executor(None, self._page)
        except Exception:  # noqa: BLE001 - the border to a client, who gets no stack trace
            _log.exception("no page of metrics")
            return error_response("the server failed to answer; its log says why", 500)
        return Response(page.text().encode(), content_type=Page.content_type)

    def _page(self) -> Page:
        return metrics_page(self._store, self._telemetry())
