"""The front door's channel to a version: plain HTTP through the node's HAProxy, or Serve's handle where that fails.

A call of a Serve handle costs its caller as much as several requests answered in process. HAProxy balances,
redispatches and drains just as well for a fraction of that, and replicas count what comes from it for autoscaling.
"""

import asyncio
import contextvars
from typing import Protocol

from mlops_ray.serve.hop_entrance import HOP, HOP_TOKEN
from mlops_ray.serve.http_pool import HttpPool
from mlops_ray.serve.messages import Question, Reply, question_to_bytes, reply_from_bytes

__all__ = ["Handle", "HopChannel"]

_RESTS_S = 5.0
_RESTS_AT_MOST_S = 300.0


class Handle(Protocol):
    """The version's replicas as Ray Serve knows them."""

    async def ask(self, question: Question) -> Reply:
        """What a replica answers."""
        ...

    async def hop_token(self) -> str | None:
        """What the replicas want to be shown over HTTP; None where they are better asked here."""
        ...


class HopChannel:
    """Sends messages; belongs to one event loop.

    Whatever fails on the way over HTTP, the handle is asked in its place: what it says is what counts for or against
    the version. HTTP is left alone for a while then, and for twice as long the next time; so it is after a call that
    was given up, which may have been the way's fault or the version's.
    """

    def __init__(self, handle: Handle, pool: HttpPool, path: str, *, rests_s: float = _RESTS_S) -> None:
        self._handle = handle
        self._pool = pool
        self._path = path.encode()
        self._shortest_rest_s = self._rests_s = rests_s
        self._headers: bytes | None = None
        self._again_s = 0.0
        self._finding: asyncio.Task[None] | None = None

    async def __call__(self, question: Question) -> Reply:
        """What a replica of the version answers."""
        if self._headers is None:
            self._find_token()
        elif asyncio.get_running_loop().time() >= self._again_s:
            try:
                reply = await self._over_http(question, self._headers)
            except asyncio.CancelledError:
                self._rest()
                raise
            if reply is not None:
                self._rests_s = self._shortest_rest_s
                return reply
            self._rest()
        return await self._handle.ask(question)

    async def _over_http(self, question: Question, headers: bytes) -> Reply | None:
        """The reply, or None when there was none to be had this way."""
        try:
            answer = await self._pool.post(self._path, question_to_bytes(question), headers)
        except OSError:
            return None
        # Also when the version's replicas are new and know another token, or when HAProxy does not know them yet.
        return reply_from_bytes(answer.body) if answer.content_type == HOP else None

    def _rest(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._again_s:  # several calls that fail together are one failure
            self._again_s = now_s + self._rests_s
            self._rests_s = min(2 * self._rests_s, _RESTS_AT_MOST_S)
        self._headers = None

    def _find_token(self) -> None:
        """Ask for the token beside the requests, none of which has to wait for it."""
        loop = asyncio.get_running_loop()
        if self._finding is None and loop.time() >= self._again_s:
            # In no request's context; see Coalescer.
            self._finding = loop.create_task(self._ask_token(), context=contextvars.Context())

    async def _ask_token(self) -> None:
        try:
            token = await self._handle.hop_token()
        except Exception:  # noqa: BLE001 - the border to another process; the messages themselves meet the same trouble
            token = None
        if token is None:
            self._rest()
        else:
            self._headers = b"content-type: " + HOP + b"\r\n" + HOP_TOKEN + b": " + token.encode() + b"\r\n"
        self._finding = None
