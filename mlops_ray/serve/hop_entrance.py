"""Where the front door's messages come in over HTTP at a replica of a version, beside the requests of clients."""

import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from mlops_ray.errors import MlopsRayError, RequestError
from mlops_ray.serve.http import Receive, Response, Scope, error_response, read_body
from mlops_ray.serve.messages import Question, Reply, question_from_bytes, reply_to_bytes

__all__ = ["HOP", "HOP_TOKEN", "HopEntrance", "hop_path", "new_hop_token"]

HOP = b"application/x-mlops-ray-hop"
"""Content type of messages; nothing else between the front door and a version answers with it."""
HOP_TOKEN = b"x-mlops-ray-hop"
_LIMIT_BYTES = 8 * 2**20
_WITHIN_S = 10.0
Answer = Callable[[Question], Awaitable[Reply]]


def hop_path(model: str, version: int) -> str:
    """Where replicas of the version take messages."""
    return f"/v2/models/{model}/versions/{version}/hop"


def new_hop_token() -> str:
    """What the replicas of one deployment know their front door by; it is told on Ray's own ways only."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class HopEntrance:
    """Answers messages of whoever shows the token: API keys are for clients, and what comes here was let in already."""

    path: str
    token: str
    answer: Answer

    async def respond(self, scope: Scope, receive: Receive) -> Response:
        """The answer to an HTTP request to `path`."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if not hmac.compare_digest(headers.get(HOP_TOKEN, b""), self.token.encode()):
            return error_response(f"{self.path} is for the front door of the model only", 403)
        try:
            content = await read_body(headers, receive, limit_bytes=_LIMIT_BYTES, within_s=_WITHIN_S)
            question = question_from_bytes(content)
        except RequestError as error:
            return error_response(error.message, error.status)
        except (ValueError, msgspec.DecodeError, MlopsRayError) as error:
            return error_response(f"expected a message of the front door: {error}", 400)
        return Response(reply_to_bytes(await self.answer(question)), content_type=HOP)
