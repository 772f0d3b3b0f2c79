"""A version's replicas as Ray Serve's handle knows them: asked there, counted, and woken up."""

import asyncio
from typing import Any

from ray import serve
from ray.serve.exceptions import DeploymentUnavailableError

from mlops_ray.serve.messages import Question, Reply
from mlops_ray.serve.versions import app_name

__all__ = ["VERSION", "VersionHandle"]

VERSION = "version"
"""Name of the deployment in a version's application."""


class VersionHandle:
    """Of one version application; see `Handle` and `Sleeper`."""

    def __init__(self, model: str, version: int) -> None:
        self._handle = serve.get_deployment_handle(VERSION, app_name(model, version))
        self._ask: Any = None

    async def hop_token(self) -> str | None:
        """See `Handle.hop_token`."""
        token: str | None = await self._handle.hop_token.remote()
        return token

    async def replicas(self) -> int:
        """See `Sleeper.replicas`."""
        try:
            return len(await self._handle.broadcast("hop_token").results_async())
        except DeploymentUnavailableError:
            return 0

    async def wake(self) -> None:
        """See `Sleeper.wake`: a call that waits is what Serve starts a replica for."""
        await self.hop_token()

    async def ask(self, question: Question) -> Reply:
        """See `Handle.ask`."""
        if self._ask is None:
            # Not before: options belong to the event loop they are made on. Arrays need no cloudpickle.
            self._ask = self._handle.options(
                method_name="predict_many", request_serialization="pickle", response_serialization="pickle"
            )
        response = self._ask.remote(question)
        try:
            reply: Reply = await response
        except asyncio.CancelledError:
            response.cancel()  # nobody waits for it
            raise
        return reply
