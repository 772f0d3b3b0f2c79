"""A version whose replicas may all go for want of requests: nobody waits for it, nor holds that against it."""

import asyncio
import contextvars
import logging
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import AsleepError
from mlops_ray.serve.remote_version import Outcome, RemoteVersion

__all__ = ["Sleeper", "SleepingVersion"]

_LOOK_S = 0.1
_AGAIN_S = 0.5
_WAKES_S = 60.0
_log = logging.getLogger(__name__)


class Sleeper(Protocol):
    """The replicas of the version."""

    async def replicas(self) -> int:
        """How many run."""
        ...

    async def wake(self) -> None:
        """Have one started, and wait until it runs."""
        ...


class SleepingVersion:
    """See `RemoteVersion`; belongs to one event loop.

    Replicas go when nothing was asked for longer than `quiet_s`, and then only: whatever becomes of what is asked
    sooner, the version has to answer for. After a longer silence the next request finds out whether a replica runs. If
    none does, it raises AsleepError at once and has one started, and so do others until it runs.
    """

    def __init__(self, remote: RemoteVersion, sleeper: Sleeper, *, quiet_s: float) -> None:
        self._remote = remote
        self._sleeper = sleeper
        self._quiet_s = quiet_s
        self._asked_s = float("-inf")
        self._looking = False
        self._waking: asyncio.Task[None] | None = None
        self._again_s = float("-inf")

    @property
    def compared(self) -> bool:
        """See `RemoteVersion.compared`: what was asked before says so, never the request that is being assigned."""
        return asyncio.get_running_loop().time() - self._asked_s <= self._quiet_s

    async def predict_many(self, matrices: Sequence[NDArray[np.float64]], left_s: Sequence[float]) -> Sequence[Outcome]:
        """See `RemoteVersion.predict_many`.

        Raises:
            AsleepError: no replica runs, or that is being found out.
        """
        loop = asyncio.get_running_loop()
        if not self.compared:
            resting = self._looking or self._waking is not None or loop.time() < self._again_s
            if resting or await self._none_runs():
                raise AsleepError("the version has no replica at the moment; one is being started")
        self._asked_s = loop.time()
        return await self._remote.predict_many(matrices, left_s)

    async def _none_runs(self) -> bool:
        """Whether no replica runs, and one is being started; where nobody says, what is asked will show."""
        self._looking = True
        try:
            async with asyncio.timeout(_LOOK_S):
                count = await self._sleeper.replicas()
        except Exception as error:  # noqa: BLE001 - the border to Serve
            _log.warning("replicas are not known: %s: %s", type(error).__name__, error)
            return False
        finally:
            self._looking = False
        if count == 0:
            # In no request's context; see Coalescer.
            self._waking = asyncio.get_running_loop().create_task(self._wake(), context=contextvars.Context())
        return count == 0

    async def _wake(self) -> None:
        """One try: where it fails, a later request makes the next one."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_WAKES_S):
                await self._sleeper.wake()
            self._asked_s = loop.time()
        except Exception as error:  # noqa: BLE001 - the border to Serve
            _log.warning("the version does not wake up: %s: %s", type(error).__name__, error)
            self._again_s = loop.time() + _AGAIN_S
        finally:
            self._waking = None
