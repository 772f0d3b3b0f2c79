"""The champion's way to the version under delivery: its own reading of a request, its deadline, and a breaker."""

import asyncio

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import DeadlineError, HurriedError, PredictionError, RequestError
from mlops_ray.model import Signature
from mlops_ray.serve.answer import ArrowBody, Body
from mlops_ray.serve.coalescer import Coalescer
from mlops_ray.serve.loaded import Decoders
from mlops_ray.serve.predicted import Predicted
from mlops_ray.serve.remote_version import RemoteVersion

__all__ = ["CanaryLink"]

_TIMEOUTS_IN_A_ROW = 5
_PAUSE_S = 1.0


class CanaryLink:
    """Asks a version in other processes, and never waits longer than its deadline."""

    def __init__(
        self, version: int, decoders: Decoders, remote: RemoteVersion, *, deadline_s: float, coalesce_s: float
    ) -> None:
        self.version = version
        self.remote = remote
        self._who = f"canary version {version}"
        self._decoders = decoders
        each = decoders.signature.answer_shape
        self._coalescer = Coalescer(remote, who=self._who, wait_s=coalesce_s, each=each)
        self._deadline_s = deadline_s
        self._timeouts = 0
        self._asks_again_s = 0.0
        self._compared: tuple[Signature, bool] | None = None

    @property
    def compared(self) -> bool:
        """See `RemoteVersion.compared`."""
        return self.remote.compared

    @property
    def signature(self) -> Signature:
        """What the version takes and answers."""
        return self._decoders.signature

    def reads_like(self, signature: Signature) -> bool:
        """Whether a matrix that this signature encoded is what the version wants."""
        if self._compared is None or self._compared[0] is not signature:
            # A comparison takes longer than anything else on the way to the version, and there is one champion.
            self._compared = signature, self._decoders.signature.inputs == signature.inputs
        return self._compared[1]

    def read(self, body: Body) -> NDArray[np.float64]:
        """The rows of a request, encoded as the version wants them.

        Raises:
            PredictionError: the version refuses what the champion takes.
        """
        try:
            return body.rows(self._decoders).matrix
        except RequestError as error:
            raise PredictionError(f"{self._who} refuses the request: {error}") from None

    async def read_aside(self, body: Body) -> NDArray[np.float64]:
        """As `read`; what takes long is done on another thread."""
        if isinstance(body, ArrowBody) or not self._decoders.quick:
            return await asyncio.get_running_loop().run_in_executor(None, self.read, body)
        return self.read(body)

    async def ask(self, matrix: NDArray[np.float64], *, left_s: float) -> Predicted:
        """Scores of a request's rows; half of the time `left_s` is for the champion, should there be none.

        Raises:
            AsleepError: the version has no replica at the moment.
            HurriedError: the client gave less time than the version may take, and that was too little.
            PredictionError: the version failed, or was too late.
        """
        if asyncio.get_running_loop().time() < self._asks_again_s:
            raise PredictionError(f"{self._who} hangs, and is not asked for a moment")
        timeout_s = min(self._deadline_s, left_s / 2)
        try:
            predicted = await self._coalescer.ask(matrix, timeout_s=timeout_s)
        except DeadlineError as late:
            if timeout_s < self._deadline_s:
                raise HurriedError(str(late)) from None
            self._count_timeout()
            raise
        except PredictionError:
            self._timeouts = 0
            raise
        self._timeouts = 0
        return predicted

    def _count_timeout(self) -> None:
        self._timeouts += 1
        if self._timeouts >= _TIMEOUTS_IN_A_ROW:
            # Its users would all wait for the deadline, and fill the champion's replica while they do.
            self._asks_again_s = asyncio.get_running_loop().time() + _PAUSE_S
