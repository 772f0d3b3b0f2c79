"""A replica of a version under delivery: answers the front door's calls, and requests that name the version."""

import asyncio
import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import PredictionError, RequestError
from mlops_ray.model import Signature
from mlops_ray.serve.access import Access
from mlops_ray.serve.answer import Answer, Body
from mlops_ray.serve.call import Call
from mlops_ray.serve.hop_entrance import HopEntrance, hop_path
from mlops_ray.serve.http import Receive, Scope, Send, send_response
from mlops_ray.serve.loaded import LoadedModel
from mlops_ray.serve.messages import Question, Reply, as_reply, requests_of
from mlops_ray.serve.model_app import Label, ModelApp, Startup, new_request_id
from mlops_ray.serve.outbox import Outbox
from mlops_ray.serve.reading import read_aside
from mlops_ray.serve.recorder import Served
from mlops_ray.serve.remote_version import NO_ROOM, Outcome
from mlops_ray.spec import Serve

__all__ = ["VersionDoor"]


class VersionDoor(ModelApp):
    """Hosts exactly one version.

    With a `hop_token`, whoever shows it over HTTP is taken for the model's front door.
    """

    def __init__(
        self,
        name: str,
        serve: Serve,
        *,
        model: LoadedModel,
        outbox: Outbox,
        startup: Startup | None = None,
        access: Access | None = None,
        hop_token: str | None = None,
    ) -> None:
        super().__init__(name, serve, startup=startup, access=access)
        self._model = model
        self._outbox = outbox
        path = hop_path(name, model.version)
        self._hop = None if hop_token is None else HopEntrance(path, hop_token, self.reply)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope; the front door's messages among them."""
        if self._hop is not None and scope["type"] == "http" and scope["path"] == self._hop.path:
            await send_response(send, await self._hop.respond(scope, receive))
        else:
            await super().__call__(scope, receive, send)

    @property
    def models(self) -> Sequence[LoadedModel]:
        """The one version."""
        return [self._model]

    async def reply(self, question: Question) -> Reply:
        """What a message of the front door is answered."""
        return as_reply(await self.predict_many(*requests_of(question)))

    async def predict_many(self, matrices: Sequence[NDArray[np.float64]], left_s: Sequence[float]) -> list[Outcome]:
        """An outcome for each request of the front door; see `RemoteVersion.predict_many`.

        Each of them goes its own way through the model, so that what it takes is as true of a request that came in
        company as of one that came alone; where the spec asks for batching, they meet again there.
        """
        return await asyncio.gather(*map(self._outcome, matrices, left_s))

    async def _outcome(self, matrix: NDArray[np.float64], left_s: float) -> Outcome:
        try:
            predicted = await self._model.predict(matrix, deadline_s=left_s)
        except PredictionError as error:
            return None, str(error), 0.0, 0.0
        except RequestError:  # too many rows wait already
            return NO_ROOM
        except Exception as error:  # noqa: BLE001 - the border of one request to the others in its call
            return None, f"model version {self._model.version} failed: {type(error).__name__}: {error}", 0.0, 0.0
        return predicted.scores, None, predicted.queue_ms, predicted.predict_ms

    def signatures(self) -> Mapping[int, Signature]:
        """The one version."""
        return {self._model.version: self._model.signature}

    def loaded(self, version: int | None) -> LoadedModel | None:
        """The one version."""
        return self._model if version in (None, self._model.version) else None

    async def answer(self, body: Body, call: Call) -> Answer:
        """Scores for a request that names the version; no part of any rollout."""
        decoders = self._model.decoders
        rows = body.rows(decoders) if decoders.quick else await read_aside(body, decoders)
        identity = rows.request_id or call.request_id or new_request_id()
        predicted = await self._model.predict(rows.matrix, deadline_s=call.left_s())
        scores = predicted.scores
        version, said = self._model.version, self._model.signature
        answer = Answer(identity, self.name, version, "direct", 0, said.task, scores, rows.warnings, said.classes)
        self._outbox.recorder.add(
            Served(
                request_id=identity,
                unit=rows.unit or identity,
                time_s=time.time(),
                version=answer.version,
                role="direct",
                assigned="direct",
                canary=0,
                epoch=0,
                status=200,
                error=None,
                latency_ms=call.elapsed_s() * 1000,
                matrix=rows.matrix,
                scores=scores,
                queue_ms=predicted.queue_ms,
                predict_ms=predicted.predict_ms,
                encoded_by=self._model,
                trace=call.trace,
                seen=rows.seen,
            )
        )
        return answer

    async def shutdown(self) -> None:
        """Hand over what was recorded; see `ModelApp.shutdown`."""
        await self._outbox.close()

    async def keep_labels(self, labels: list[Label]) -> None:
        """Labels go to the model as a whole.

        Raises:
            RequestError: always, naming the route that takes them.
        """
        raise RequestError(f"send {len(labels)} labels to /v2/models/{self.name}/labels", status=404)
