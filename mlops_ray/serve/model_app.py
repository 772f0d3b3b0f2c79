"""The HTTP surface of a model: Open Inference Protocol v2, plain JSON, Arrow and labels, as one ASGI application."""

import asyncio
import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mlops_ray.errors import DeadlineError, MlopsRayError, PredictionError, RequestError
from mlops_ray.model import Signature
from mlops_ray.serve.access import Access
from mlops_ray.serve.admission import Admission, TooOften
from mlops_ray.serve.answer import Answer, ArrowBody, Body, InferBody, PlainBody
from mlops_ray.serve.asked import Asked
from mlops_ray.serve.call import Call
from mlops_ray.serve.docs_page import docs_page
from mlops_ray.serve.explain_route import explain_response
from mlops_ray.serve.explaining import Explaining
from mlops_ray.serve.http import Receive, Response, Scope, Send, error_response, json_response, send_response
from mlops_ray.serve.http_counts import HttpCounts
from mlops_ray.serve.labels import Label, read_labels
from mlops_ray.serve.loaded import LoadedModel
from mlops_ray.serve.methods import MethodRefused, allow
from mlops_ray.serve.openapi import Described, openapi_document
from mlops_ray.serve.request import IDENTITY_LENGTH
from mlops_ray.serve.tensors import HEADER_LENGTH, tensor_metadata
from mlops_ray.spec import Serve
from mlops_ray.store import Role

__all__ = ["Label", "ModelApp", "Startup", "new_request_id"]

_ROLES: Mapping[str, Role] = {**dict.fromkeys(("predict", "infer", "arrow", "explain"), "infer"), "labels": "label"}
"""What is sent, and what a key must be for to send it."""
_DESCRIBED = ("", "ready", "openapi.json", "docs")
# Reading this much of a stream takes less than handing it to another thread.
_SMALL_STREAM = 32 * 1024
# Narrow columns grow when they become float64, and memory is bounded by this.
_MATRIX_PER_BODY = 8
_log = logging.getLogger(__name__)
Startup = Callable[[], Awaitable[None]]


class ModelApp(ABC):
    """Routes requests under `/v2/models/<name>`; subclasses say which version answers.

    `startup` starts what runs beside the requests; it is called once, on the event loop that answers them. `access`
    says who may ask; without it anybody may.
    """

    def __init__(
        self, name: str, serve: Serve, *, startup: Startup | None = None, access: Access | None = None
    ) -> None:
        self.name = name
        self._startup = startup
        self.admission = Admission(access or Access(), most=serve.max_ongoing_requests)
        self.http_counts = HttpCounts()
        self._serve = serve
        self._explaining = Explaining(serve.explain)
        self._prefix = f"/v2/models/{name}"
        self._usual = {f"{self._prefix}/{action}": (action, None) for action in _ROLES}
        self._watch: asyncio.Task[None] | None = None

    @property
    def limits(self) -> Serve:
        """How large and how long a request may be."""
        return self._serve

    @abstractmethod
    async def answer(self, body: Body, call: Call) -> Answer:
        """Scores for a request; of one version where the path names it.

        Raises:
            RequestError: the request cannot be answered as sent.
            PredictionError: no version could answer it.
        """

    @abstractmethod
    def signatures(self) -> Mapping[int, Signature]:
        """The versions in memory; the first is the one that answers when none is named."""

    def loaded(self, version: int | None) -> LoadedModel | None:  # noqa: ARG002 - for those who have models
        """The version that is named, or that answers when none is, where it is in memory here; else None."""
        return None

    @abstractmethod
    async def keep_labels(self, labels: list[Label]) -> None:
        """Keep outcomes durably before returning.

        Raises:
            RequestError: 503 when they cannot be kept now.
        """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        response = await self._respond(scope, receive)
        if response.status == 200:
            self.http_counts.fine += 1
        else:
            self.http_counts.answered(response.status)
        await send_response(send, response)

    async def _respond(self, scope: Scope, receive: Receive) -> Response:
        started_s = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"").decode("latin-1")
        if len(request_id) > IDENTITY_LENGTH:
            return error_response(f"x-request-id is longer than {IDENTITY_LENGTH} characters", 400)
        try:
            action, named = self._usual.get(scope["path"]) or self._action(scope["path"])
            if self.admission.access.checks and action != "ready":  # which load balancers ask
                client = scope.get("client")
                self.admission.check(headers, _ROLES.get(action), peer=client[0] if client else "")
            version = None if named is None else self.version_named(named)
            if action in _ROLES:
                allow(scope["method"], "POST")
                query = scope.get("query_string", b"")
                return await self._take(Asked(action, version, headers, receive, started_s, request_id or None, query))
            if action in _DESCRIBED:
                allow(scope["method"], "GET", "HEAD")
            return self._describe(action, version)
        except Exception as error:  # noqa: BLE001 - the border to a client
            return self._failed(error, request_id)

    def _failed(self, error: Exception, request_id: str) -> Response:
        """Whatever is wrong in here, a client gets JSON and no stack trace."""
        if isinstance(error, MethodRefused):
            return error_response(str(error), 405, request_id=request_id, allow=error.allowed)
        if isinstance(error, RequestError):
            self.http_counts.refused(error.status)
            wait_s = error.retry_after_s if isinstance(error, TooOften) else None
            said = {"path": error.path, "request_id": request_id}
            return error_response(error.message, error.status, **said, retry_after_s=wait_s)
        if isinstance(error, PredictionError):
            status = 504 if isinstance(error, DeadlineError) else 500
            return error_response(str(error), status, request_id=request_id)
        if isinstance(error, MlopsRayError):
            return error_response(str(error), 503, request_id=request_id)
        _log.error("request of %s not answered", self.name, exc_info=error)
        return error_response("the server failed to answer; its log says why", 500, request_id=request_id)

    # -- who asks for what --------------------------------------------------------------------------------------------

    def _action(self, path: str) -> tuple[str, str | None]:
        """What a path asks for, and the version it names."""
        tail = path.removeprefix(self._prefix)
        if tail == path or tail[:1] not in ("", "/"):
            raise RequestError(f"no such path: {path}; expected one under {self._prefix}", status=404)
        parts = [part for part in tail.split("/") if part]
        if parts[:1] == ["versions"] and len(parts) > 1:
            action = "/".join(parts[2:])
            if action == "labels":
                raise RequestError(f"labels are sent to {self._prefix}/labels, whatever the version", status=404)
            return action, parts[1]
        return "/".join(parts), None

    def version_named(self, text: str) -> int:
        """The version in memory of that name.

        Raises:
            RequestError: 404, there is none.
        """
        served = {str(version): version for version in self.signatures()}
        if text not in served:
            message = f"model {self.name!r} has no {text!r} here; versions served: {', '.join(served) or 'none'}"
            raise RequestError(message, status=404)
        return served[text]

    # -- what is sent -------------------------------------------------------------------------------------------------

    async def _take(self, asked: Asked) -> Response:
        """Take in a body and answer it, unless too many are in the works."""
        with self.admission.enter():
            if asked.action == "labels":
                return await self._take_labels(asked)
            ways = {"arrow": self._predict_bulk, "explain": self._explain}
            return await ways.get(asked.action, self._predict)(asked)

    async def _predict(self, asked: Asked) -> Response:
        deadline_s = asked.deadline_s(self._serve.deadline_ms)
        content = await asked.content(limit_bytes=self._serve.max_body_bytes, deadline_s=deadline_s)
        body: Body
        if asked.action == "infer":
            body = InferBody.of(content, asked.headers.get(HEADER_LENGTH, b""))
            if body.timeout_s is not None:
                deadline_s = min(deadline_s, asked.started_s + body.timeout_s)
        else:
            body = PlainBody(content)
        trace = asked.trace() if b"traceparent" in asked.headers else None
        called = Call(asked.started_s, deadline_s, asked.request_id, asked.version, trace)
        return body.respond(await self.answer(body, called))

    async def _predict_bulk(self, asked: Asked) -> Response:
        """Many rows at once: no part of any rollout; the champion answers, or the version that the path names."""
        asked.check_is_arrow()
        deadline_s, limit_bytes = asked.deadline_s(self._serve.deadline_ms), self._serve.max_body_bytes
        unit = asked.unit()
        content = await asked.content(limit_bytes=limit_bytes, deadline_s=deadline_s)
        body = ArrowBody(content, unit=unit, max_matrix_bytes=_MATRIX_PER_BODY * limit_bytes)
        _, signature = self.signature_of(asked.version)
        if len(content) > _SMALL_STREAM and signature.image is None:  # pictures are read there in any case
            await asyncio.get_running_loop().run_in_executor(None, body.read, signature)
        version, _ = self.signature_of(asked.version)
        return body.respond(await self.answer(body, Call(asked.started_s, deadline_s, asked.request_id, version)))

    async def _explain(self, asked: Asked) -> Response:
        model, identity = self.loaded(asked.version), asked.request_id or new_request_id()
        limit = self._serve.max_body_bytes
        return await explain_response(asked, model, self._explaining, self.name, limit_bytes=limit, identity=identity)

    async def _take_labels(self, asked: Asked) -> Response:
        deadline_s = asked.deadline_s(self._serve.deadline_ms)
        content = await asked.content(limit_bytes=self._serve.max_body_bytes, deadline_s=deadline_s)
        _, signature = self.signature_of(None)
        labels = read_labels(content, signature)
        await self.keep_labels(labels)
        return json_response({"kept": len(labels)})

    # -- what is described --------------------------------------------------------------------------------------------

    def signature_of(self, version: int | None) -> tuple[int, Signature]:
        """The version that answers when this one, or none, is named; and what it takes.

        Raises:
            RequestError: 404, it is not in memory; 503, none is.
        """
        served = self.signatures()
        found = version if version is not None else next(iter(served), None)
        if found is None:
            raise RequestError(f"model {self.name!r} has no version in memory yet", status=503)
        if found not in served:
            raise RequestError(f"model {self.name!r} serves version {found} no longer", status=404)
        return found, served[found]

    def _describe(self, action: str, version: int | None) -> Response:
        shown, signature = self.signature_of(version)
        described = Described(self.name, signature, str(shown), self._serve, keys=self.admission.access.required)
        if action == "":
            return json_response(self.metadata(signature))
        if action == "ready":
            return json_response({"name": self.name, "ready": True, "version": str(shown)})
        if action == "openapi.json":
            return json_response(openapi_document(described))
        if action == "docs":
            return docs_page(described)
        raise RequestError(
            f"no such path under {self._prefix}: {action!r}; expected infer, predict, arrow, explain, labels, ready, "
            "docs, openapi.json or versions/<version>/...",
            status=404,
        )

    def metadata(self, signature: Signature) -> dict[str, Any]:
        """What the protocol says of a model: its versions in memory, inputs and outputs."""
        return {
            "name": self.name,
            "versions": [str(v) for v in self.signatures()],
            "platform": f"mlops_ray_{signature.task}",
            **tensor_metadata(signature),
        }

    # -- life ---------------------------------------------------------------------------------------------------------

    async def shutdown(self) -> None:  # noqa: B027 - nothing to hand over is a good answer
        """Hand over what was recorded; called once when the replica ends, after the last request was answered."""

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                if self.admission.access.required:
                    self._watch = asyncio.get_running_loop().create_task(self.admission.access.watch())
                if self._startup is not None:
                    await self._startup()
                await send({"type": "lifespan.startup.complete"})
            else:
                if not await self.admission.in_flight.drained(self._serve.deadline_ms / 1000):
                    _log.warning("requests of %s were not answered in time", self.name)
                await self.shutdown()
                self._explaining.close()
                if self._watch is not None:
                    self._watch.cancel()
                await send({"type": "lifespan.shutdown.complete"})
                return


def new_request_id() -> str:
    """A request id for a client that sent none."""
    return os.urandom(16).hex()
