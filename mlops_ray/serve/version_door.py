"""A replica of a version under delivery: answers the front door's calls, and requests that name the version."""

import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import PredictionError, RequestError
from mlops_ray.model import Signature
from mlops_ray.serve.answer import Answer, Body
from mlops_ray.serve.loaded import LoadedModel
from mlops_ray.serve.model_app import Label, ModelApp, Startup, new_request_id
from mlops_ray.serve.outbox import Outbox
from mlops_ray.serve.recorder import Served
from mlops_ray.spec import Serve

__all__ = ["VersionDoor"]


class VersionDoor(ModelApp):
    """Hosts exactly one version."""

    def __init__(
        self, name: str, serve: Serve, *, model: LoadedModel, outbox: Outbox, startup: Startup | None = None
    ) -> None:
        super().__init__(name, serve, startup=startup)
        self._model = model
        self._outbox = outbox
        self._deadline_s = serve.deadline_ms / 1000

    async def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64] | str:
        """Scores (n,) for the front door, or the sentence that says why there are none."""
        try:
            return await self._model.predict(matrix, deadline_s=self._deadline_s)
        except PredictionError as error:
            return str(error)

    def signatures(self) -> Mapping[int, Signature]:
        """The one version."""
        return {self._model.version: self._model.signature}

    async def answer(
        self,
        body: Body,
        *,
        version: int | None,  # noqa: ARG002 - it has only one
        started_s: float,
        request_id: str | None,
    ) -> Answer:
        """Scores for a request that names the version; no part of any rollout."""
        rows = body.rows(self._model.decoders)
        identity = rows.request_id or request_id or new_request_id()
        scores = await self._model.predict(rows.matrix, deadline_s=self._deadline_s)
        answer = Answer(identity, self.name, self._model.version, "direct", 0, self._model.signature.task, scores)
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
                latency_ms=(time.perf_counter() - started_s) * 1000,
                matrix=rows.matrix,
                scores=scores,
                encoded_by=self._model,
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
