"""The champion's way to the canary: a Serve handle, a deadline, and the canary's own reading of a request."""

import asyncio
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import PredictionError, RequestError
from mlops_ray.serve.answer import Body
from mlops_ray.serve.loaded import Decoders

__all__ = ["CanaryLink", "RemoteVersion"]


class RemoteVersion(Protocol):
    """Predictions of a version that lives in other processes."""

    async def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64] | str:
        """Scores (n,), or why there are none."""
        ...


_TIMEOUTS_IN_A_ROW = 5
_PAUSE_S = 1.0


class CanaryLink:
    """Asks a version in other processes, and never waits longer than its deadline."""

    def __init__(self, version: int, decoders: Decoders, remote: RemoteVersion, *, deadline_s: float) -> None:
        self.version = version
        self._decoders = decoders
        self._remote = remote
        self._deadline_s = deadline_s
        self._timeouts = 0
        self._asks_again_s = 0.0

    async def ask(self, body: Body) -> NDArray[np.float64]:
        """Scores of the request's rows.

        Raises:
            PredictionError: the canary failed, was too late, or could not read what the champion could.
        """
        try:
            matrix = body.rows(self._decoders).matrix
        except RequestError as error:
            raise PredictionError(f"canary version {self.version} refuses the request: {error}") from None
        if asyncio.get_running_loop().time() < self._asks_again_s:
            raise PredictionError(f"canary version {self.version} hangs, and is not asked for a moment")
        try:
            answer = await asyncio.wait_for(self._remote.predict(matrix), self._deadline_s)
            self._timeouts = 0
            if isinstance(answer, str):
                raise PredictionError(answer)
            scores = np.asarray(answer, dtype=np.float64)
        except PredictionError:
            raise
        except TimeoutError:
            self._count_timeout()
            raise PredictionError(
                f"canary version {self.version} gave no answer within {self._deadline_s * 1000:g} ms"
            ) from None
        except Exception as error:
            raise PredictionError(f"canary version {self.version} failed: {type(error).__name__}: {error}") from error
        if scores.shape != (len(matrix),) or not np.isfinite(scores).all():
            raise PredictionError(f"canary version {self.version} answered something that is no prediction")
        return scores

    def _count_timeout(self) -> None:
        self._timeouts += 1
        if self._timeouts >= _TIMEOUTS_IN_A_ROW:
            # Its users would all wait for the deadline, and fill the champion's replica while they do.
            self._asks_again_s = asyncio.get_running_loop().time() + _PAUSE_S
