"""The HTTP surface of a model: Open Inference Protocol v2, plain JSON and labels, as one ASGI application."""

import logging
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import msgspec

from mlops_ray.errors import MlopsRayError, PredictionError, RequestError
from mlops_ray.model import Signature
from mlops_ray.serve.answer import Answer, Body, InferBody, PlainBody
from mlops_ray.serve.http import (
    Receive,
    Response,
    Scope,
    Send,
    error_response,
    header,
    json_response,
    read_body,
    send_response,
)
from mlops_ray.serve.openapi import docs_page, openapi_document
from mlops_ray.serve.request import IDENTITY_LENGTH, decoded
from mlops_ray.serve.tensors import HEADER_LENGTH, tensor_metadata
from mlops_ray.spec import Serve

__all__ = ["Label", "ModelApp", "Startup", "new_request_id"]

_INFER = ("infer", "predict")
_DESCRIBED = ("", "ready", "openapi.json", "docs")
_log = logging.getLogger(__name__)
Startup = Callable[[], Awaitable[None]]


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The outcome of one row of an answered request."""

    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=IDENTITY_LENGTH)]
    label: float
    row: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0


class _Labels(msgspec.Struct, forbid_unknown_fields=True):
    labels: list[Label]


class ModelApp(ABC):
    """Routes requests under `/v2/models/<name>`; subclasses say which version answers.

    `startup` starts what runs beside the requests; it is called once, on the event loop that answers them.
    """

    def __init__(self, name: str, serve: Serve, *, startup: Startup | None = None) -> None:
        self.name = name
        self._startup = startup
        self._serve = serve
        self._prefix = f"/v2/models/{name}"
        self._labels = msgspec.json.Decoder(_Labels)

    @abstractmethod
    async def answer(self, body: Body, *, version: int | None, started_s: float, request_id: str | None) -> Answer:
        """Scores for a request; of one version where the path names it.

        Raises:
            RequestError: the request cannot be answered as sent.
            PredictionError: no version could answer it.
        """

    @abstractmethod
    def signatures(self) -> Mapping[int, Signature]:
        """The versions in memory; the first is the one that answers when none is named."""

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
        await send_response(send, response)

    async def _respond(self, scope: Scope, receive: Receive) -> Response:
        started_s = time.perf_counter()
        request_id = header(scope, b"x-request-id").decode("latin-1")
        if len(request_id) > IDENTITY_LENGTH:
            return error_response(f"x-request-id is longer than {IDENTITY_LENGTH} characters", 400)
        try:
            return await self._route(scope, receive, started_s, request_id or None)
        except RequestError as error:
            return error_response(error.message, error.status, path=error.path, request_id=request_id)
        except PredictionError as error:
            return error_response(str(error), 500, request_id=request_id)
        except MlopsRayError as error:
            return error_response(str(error), 503, request_id=request_id)
        except Exception:  # noqa: BLE001 - the border to a client
            # Whatever is wrong in here, a client gets JSON and no stack trace.
            _log.exception("request of %s not answered", self.name)
            return error_response("the server failed to answer; its log says why", 500, request_id=request_id)

    async def _route(self, scope: Scope, receive: Receive, started_s: float, request_id: str | None) -> Response:
        tail = self._tail(scope["path"])
        method = scope["method"]
        version: int | None = None
        if tail[:1] == ["versions"] and len(tail) > 1:
            version = self._version(tail[1])
            tail = tail[2:]
        action = "/".join(tail)
        if action in _INFER:
            _allow(method, "POST")
            body = await self._body(scope, receive, action)
            answer = await self.answer(body, version=version, started_s=started_s, request_id=request_id)
            return body.respond(answer)
        if action == "labels" and version is None:
            _allow(method, "POST")
            return await self._take_labels(scope, receive)
        if action in _DESCRIBED:
            _allow(method, "GET")
        return self._describe(action, version)

    def _tail(self, path: str) -> list[str]:
        tail = path.removeprefix(self._prefix)
        if tail == path or tail[:1] not in ("", "/"):
            raise RequestError(f"no such path: {path}; expected one under {self._prefix}", status=404)
        return [part for part in tail.split("/") if part]

    def _version(self, text: str) -> int:
        served = {str(version): version for version in self.signatures()}
        if text not in served:
            known = ", ".join(served) or "none"
            raise RequestError(
                f"model {self.name!r} serves no version {text!r} here; versions served: {known}", status=404
            )
        return served[text]

    async def _body(self, scope: Scope, receive: Receive, action: str) -> Body:
        body = await read_body(scope, receive, self._serve.max_body_bytes)
        return InferBody(body, header(scope, HEADER_LENGTH)) if action == "infer" else PlainBody(body)

    async def _take_labels(self, scope: Scope, receive: Receive) -> Response:
        body = await read_body(scope, receive, self._serve.max_body_bytes)
        labels = decoded(self._labels, body).labels
        if not labels:
            raise RequestError("expected at least one label, found an empty list", "$.labels")
        await self.keep_labels(labels)
        return json_response({"kept": len(labels)})

    def _describe(self, action: str, version: int | None) -> Response:
        served = self.signatures()
        signature = served[version] if version is not None else next(iter(served.values()), None)
        if signature is None:
            raise RequestError(f"model {self.name!r} has no version in memory yet", status=503)
        shown = str(version if version is not None else next(iter(served)))
        if action == "":
            return json_response(self._metadata(signature, served))
        if action == "ready":
            return json_response({"name": self.name, "ready": True, "version": shown})
        if action == "openapi.json":
            return json_response(openapi_document(self.name, signature, shown))
        if action == "docs":
            return docs_page(self.name, signature, shown)
        raise RequestError(
            f"no such path under {self._prefix}: {action!r}; expected infer, predict, labels, ready, docs, "
            "openapi.json or versions/<version>/...",
            status=404,
        )

    def _metadata(self, signature: Signature, served: Mapping[int, Signature]) -> dict[str, Any]:
        return {
            "name": self.name,
            "versions": [str(v) for v in served],
            "platform": f"mlops_ray_{signature.task}",
            **tensor_metadata(signature),
        }

    async def shutdown(self) -> None:  # noqa: B027 - nothing to hand over is a good answer
        """Hand over what was recorded; called once when the replica ends."""

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                if self._startup is not None:
                    await self._startup()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.shutdown()
                await send({"type": "lifespan.shutdown.complete"})
                return


def new_request_id() -> str:
    """A request id for a client that sent none."""
    return uuid.uuid4().hex


def _allow(method: str, expected: str) -> None:
    if method != expected and not (expected == "GET" and method == "HEAD"):
        raise RequestError(f"method {method} is not for this path; expected {expected}", status=405)
