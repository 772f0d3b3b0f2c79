"""Explanations of a replica's models: one at a time, in a process of its own, so that no prediction waits for one."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import DeadlineError, RequestError
from mlops_ray.model.explain_process import Explained, Load
from mlops_ray.serve.explain_child import ExplainChild
from mlops_ray.serve.loaded import LoadedModel
from mlops_ray.spec import Explain

__all__ = ["Explaining"]


class Explaining:
    """Belongs to one event loop. The process begins with the first request and ends when nobody asks any more."""

    def __init__(self, limits: Explain) -> None:
        self.limits = limits
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain")  # waits for the process, and does nothing
        self._child: ExplainChild | None = None
        self._asked = 0
        self._idle: asyncio.TimerHandle | None = None

    async def explain(
        self, model: LoadedModel, matrix: NDArray[np.float64], places: NDArray[np.int64] | None, *, until_s: float
    ) -> Explained:
        """What a version answers to rows (n, features), and why; `until_s` is of `time.perf_counter`.

        Raises:
            RequestError: 503, as many requests as may wait do, or the version is still being loaded.
            DeadlineError: it took longer.
            ModelError: the version cannot be loaded or explained.
        """
        if self._asked > self.limits.max_waiting:
            raise RequestError(
                f"{self._asked} requests are being explained here, as many as serve.explain.max_waiting allows; ask "
                "again in a moment",
                status=503,
            )
        loop = asyncio.get_running_loop()
        self._asked += 1
        try:
            return await loop.run_in_executor(self._thread, self._explain, model, matrix, places, until_s)
        finally:
            self._asked -= 1
            if self._idle is not None:
                self._idle.cancel()
            self._idle = loop.call_later(self.limits.idle_s, self.close)

    def close(self) -> None:
        """End the process; the next request starts another."""
        self._thread.submit(self._end)

    def _explain(
        self, model: LoadedModel, matrix: NDArray[np.float64], places: NDArray[np.int64] | None, until_s: float
    ) -> Explained:
        if time.perf_counter() >= until_s:
            raise DeadlineError(f"version {model.version} was not explained in time: others were before")
        bundle = model.bundle
        wanted = Load(str(bundle.folder or bundle.uri), bundle.manifest.digest, self.limits.max_predictions)
        child = self._child
        if child is None or child.wanted != wanted or not child.alive:
            self._end()
            child = self._child = ExplainChild(model.version, wanted)
        return child.explain(matrix, places, until_s=until_s)

    def _end(self) -> None:
        if self._child is not None:
            self._child.close()
        self._child = None
