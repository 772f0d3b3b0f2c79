"""The Open Inference Protocol over gRPC, answered by the replica that answers HTTP: the same model, limits and keys."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import grpc

from mlops_ray.errors import DeadlineError, MlopsRayError, PredictionError, RequestError
from mlops_ray.serve.asked import deadline_s
from mlops_ray.serve.call import Call
from mlops_ray.serve.grpc_body import infer_body, infer_response
from mlops_ray.serve.grpc_messages import message
from mlops_ray.serve.http import Headers
from mlops_ray.serve.model_app import ModelApp
from mlops_ray.serve.server_app import EXTENSIONS, ServerApp

__all__ = ["GrpcMethods", "InferenceService", "ModelService", "ServerService"]

Message = Any
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
_log = logging.getLogger(__name__)


class Context(Protocol):
    """What is used of the context of a call."""

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        """Headers of the call."""

    def peer(self) -> str:
        """Where it comes from."""

    def set_code(self, code: grpc.StatusCode) -> None:
        """What is wrong with it."""

    def set_details(self, details: str) -> None:
        """And why."""


class InferenceService(ABC):
    """One method for each of the protocol's; whatever is wrong becomes a status and a sentence."""

    async def answer(self, method: str, request: Message, context: Context) -> Message:
        """The response; an empty one when `context` says what is wrong."""
        try:
            return await getattr(self, method)(request, context)
        except Exception as error:  # noqa: BLE001 - the border to a client
            context.set_code(_code(error))
            context.set_details(str(error) if isinstance(error, MlopsRayError) else "the server failed to answer")
            if not isinstance(error, MlopsRayError):
                _log.error("%s not answered", method, exc_info=error)
            return message(f"{method}Response")()

    @abstractmethod
    async def ServerReady(self, request: Message, context: Context) -> Message:
        """Whether all that is served here answers."""

    @abstractmethod
    async def ServerMetadata(self, request: Message, context: Context) -> Message:
        """What the server is."""

    @abstractmethod
    async def ModelReady(self, request: Message, context: Context) -> Message:
        """Whether a model answers; False for one that is not served here."""

    @abstractmethod
    async def ModelMetadata(self, request: Message, context: Context) -> Message:
        """Versions, inputs and outputs of a model."""

    @abstractmethod
    async def ModelInfer(self, request: Message, context: Context) -> Message:
        """Predict."""

    async def ServerLive(self, request: Message, context: Context) -> Message:  # noqa: ARG002
        """That it lives."""
        return message("ServerLiveResponse")(live=True)


class ModelService(InferenceService):
    """Answers for one model."""

    def __init__(self, app: ModelApp, version: str) -> None:
        self._app = app
        self._software = version

    async def ServerReady(self, request: Message, context: Context) -> Message:  # noqa: ARG002
        """See `InferenceService`; who answers is ready."""
        return message("ServerReadyResponse")(ready=True)

    async def ServerMetadata(self, request: Message, context: Context) -> Message:  # noqa: ARG002
        """See `InferenceService`."""
        self._app.admission.check(_headers(context), None, peer=_peer(context))
        return _server_metadata(self._software)

    async def ModelReady(self, request: Message, context: Context) -> Message:  # noqa: ARG002
        """See `InferenceService`."""
        versions = ["", *map(str, self._app.signatures())]
        return message("ModelReadyResponse")(ready=request.name == self._app.name and request.version in versions)

    async def ModelMetadata(self, request: Message, context: Context) -> Message:
        """See `InferenceService`."""
        self._app.admission.check(_headers(context), None, peer=_peer(context))
        _, signature = self._app.signature_of(self._version(request.name, request.version))
        return message("ModelMetadataResponse")(**self._app.metadata(signature))

    async def ModelInfer(self, request: Message, context: Context) -> Message:
        """See `InferenceService`; what is large beyond the limit of a body is refused."""
        started_s = time.perf_counter()
        headers = _headers(context)
        self._app.admission.check(headers, "infer", peer=_peer(context))
        version = self._version(request.model_name, request.model_version)
        limits = self._app.limits
        if request.ByteSize() > limits.max_body_bytes:
            raise RequestError(f"expected at most {limits.max_body_bytes} bytes (serve.max_body_bytes)", status=413)
        with self._app.admission.enter():
            body = infer_body(request)
            until_s = deadline_s(headers, started_s, longest_ms=limits.deadline_ms)
            if body.timeout_s is not None:
                until_s = min(until_s, started_s + body.timeout_s)
            return infer_response(request, await self._app.answer(body, Call(started_s, until_s, None, version)))

    def _version(self, name: str, version: str) -> int | None:
        if name != self._app.name:
            raise RequestError(
                f"model {name!r} is not served here, but {self._app.name!r}; send the metadata application={name}",
                status=404,
            )
        return self._app.version_named(version) if version else None


class ServerService(InferenceService):
    """Answers for the server as a whole."""

    def __init__(self, app: ServerApp) -> None:
        self._app = app

    async def ServerReady(self, request: Message, context: Context) -> Message:  # noqa: ARG002
        """See `InferenceService`."""
        return message("ServerReadyResponse")(ready=all((await self._app.models()).values()))

    async def ServerMetadata(self, request: Message, context: Context) -> Message:  # noqa: ARG002
        """See `InferenceService`."""
        self._app.access.check(_headers(context), None, peer=_peer(context))
        return _server_metadata(self._app.version)

    async def ModelReady(self, request: Message, context: Context) -> Message:  # noqa: ARG002
        """See `InferenceService`."""
        return message("ModelReadyResponse")(ready=(await self._app.models()).get(request.name, False))

    async def ModelMetadata(self, request: Message, context: Context) -> Message:
        """See `InferenceService`."""
        raise await self._elsewhere(request.name, context)

    async def ModelInfer(self, request: Message, context: Context) -> Message:
        """See `InferenceService`."""
        raise await self._elsewhere(request.model_name, context)

    async def _elsewhere(self, name: str, context: Context) -> RequestError:
        self._app.access.check(_headers(context), None, peer=_peer(context))
        known = ", ".join(sorted(await self._app.models())) or "none"
        return RequestError(f"send the metadata application={name}; models served: {known}", status=404)


class GrpcMethods:
    """The methods as Ray Serve looks for them, on the class of a replica that sets `inference`."""

    inference: InferenceService

    async def ServerLive(self, request: Message, grpc_context: Context) -> Message:
        """See `InferenceService`."""
        return await self.inference.answer("ServerLive", request, grpc_context)

    async def ServerReady(self, request: Message, grpc_context: Context) -> Message:
        """See `InferenceService`."""
        return await self.inference.answer("ServerReady", request, grpc_context)

    async def ModelReady(self, request: Message, grpc_context: Context) -> Message:
        """See `InferenceService`."""
        return await self.inference.answer("ModelReady", request, grpc_context)

    async def ServerMetadata(self, request: Message, grpc_context: Context) -> Message:
        """See `InferenceService`."""
        return await self.inference.answer("ServerMetadata", request, grpc_context)

    async def ModelMetadata(self, request: Message, grpc_context: Context) -> Message:
        """See `InferenceService`."""
        return await self.inference.answer("ModelMetadata", request, grpc_context)

    async def ModelInfer(self, request: Message, grpc_context: Context) -> Message:
        """See `InferenceService`."""
        return await self.inference.answer("ModelInfer", request, grpc_context)


def _server_metadata(version: str) -> Message:
    return message("ServerMetadataResponse")(name="mlops_ray", version=version, extensions=EXTENSIONS)


def _code(error: Exception) -> grpc.StatusCode:
    if isinstance(error, RequestError):
        return _CODES.get(error.status, grpc.StatusCode.UNKNOWN)
    if isinstance(error, DeadlineError):
        return grpc.StatusCode.DEADLINE_EXCEEDED
    if isinstance(error, MlopsRayError) and not isinstance(error, PredictionError):
        return grpc.StatusCode.UNAVAILABLE
    return grpc.StatusCode.INTERNAL


def _headers(context: Context) -> Headers:
    """The metadata as HTTP has it."""
    return {k.encode(): v.encode() if isinstance(v, str) else v for k, v in context.invocation_metadata()}


def _peer(context: Context) -> str:
    """The address of the client, out of `ipv4:127.0.0.1:50000` or `ipv6:[::1]:50000`, or of who passed it on."""
    passed_on = [value for key, value in context.invocation_metadata() if key == "x-forwarded-for"]
    if passed_on:
        return str(passed_on[-1]).rpartition(",")[2].strip()
    kind, _, rest = context.peer().replace("%5B", "[").replace("%5D", "]").partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""
