"""The other end of `mlops_ray.model.explain_process`: starts it, asks it, and ends it when it takes too long."""

import logging
import multiprocessing
import os
import subprocess
import sys
import time
import weakref
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import DeadlineError, MlopsRayError, PredictionError, RequestError
from mlops_ray.model.explain_process import Ask, Explained, Load

__all__ = ["ExplainChild"]

_log = logging.getLogger(__name__)
_MAIN = "from mlops_ray.model.explain_process import main; main()"
_END_S = 5.0


class ExplainChild:
    """One process for one model version; for one thread at a time."""

    def __init__(self, version: int, wanted: Load) -> None:
        self.version = version
        self.wanted = wanted
        self._ready = False
        self._link, other = multiprocessing.Pipe()
        with other:
            # what this process can import, the other has to: the model may be of a class of the user's
            paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
            command = [sys.executable, "-c", _MAIN, str(other.fileno())]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=(other.fileno(),), env={**os.environ, **paths}
            )
        self._end = weakref.finalize(self, _end, self._link, self._process)
        self._link.send(wanted)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def explain(self, matrix: NDArray[np.float64], places: NDArray[np.int64] | None, *, until_s: float) -> Explained:
        """What the model answers and why; `until_s` is of `time.perf_counter`.

        Raises:
            RequestError: 503, the model is still being loaded; it goes on with that.
            DeadlineError: it took longer; the process is ended.
            ModelError: the model cannot be loaded or explained.
        """
        if not self._ready:
            if not self._link.poll(max(0.0, until_s - time.perf_counter())):
                message = f"version {self.version} is being loaded to be explained; ask again in a moment"
                raise RequestError(message, status=503)
            self._take()
            self._ready = True
        self._link.send(Ask(matrix, places))
        if not self._link.poll(max(0.0, until_s - time.perf_counter())):
            self.close()
            raise DeadlineError(f"version {self.version} was not explained in time: {len(matrix)} rows")
        explained: Explained = self._take()
        return explained

    def close(self) -> None:
        """End the process; it ends as well when this is let go."""
        self._end()

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return not self._link.closed and self._process.poll() is None

    def _take(self) -> Any:
        try:
            outcome = self._link.recv()
        except (EOFError, ConnectionError):
            self.close()
            raise PredictionError(f"the process that explains version {self.version} ended") from None
        if isinstance(outcome, MlopsRayError):
            raise outcome
        return outcome


def _end(link: Connection, process: subprocess.Popen[bytes]) -> None:
    link.close()
    process.kill()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        _log.warning("process %d, which explains, does not end", process.pid)
