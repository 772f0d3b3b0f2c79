"""A server under measurement as a process of its own, with what it costs."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.workload import Shape, Workload, score_of
from mlops_ray.control.local_cluster import free_port

__all__ = ["ServerProcess", "System"]

ROOT = Path(__file__).resolve().parents[1]
_MARK = "MLOPS_RAY_BENCHMARK"
_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class System:
    """A way to serve the model: `module` is run as `python -m module FOLDER PORT` and answers POST `path`."""

    name: str
    module: str
    path: str
    shape: Shape = "records"


class ServerProcess:
    """Starts a system, waits until it answers right, measures its processes, ends it."""

    def __init__(self, system: System, folder: Path) -> None:
        self.system = system
        self._port = free_port()
        self._mark = uuid.uuid4().hex
        self._log = folder / f"{system.name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", system.module, str(folder), str(self._port)],
                cwd=ROOT,
                env=_environment(os.environ) | {_MARK: self._mark},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def url(self) -> str:
        """Where the model is asked."""
        return f"http://127.0.0.1:{self._port}{self.system.path}"

    def wait_until_right(self, workload: Workload) -> None:
        """Wait for the first answer, which must be right.

        Raises:
            RuntimeError: the process ended, did not answer in time, or answered another score.
        """
        body, score = workload.body(self.system.shape, 0), float(workload.scores[0])
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while (answer := self._ask(body)) is None:
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"{self.system.name} does not answer; its output ends with:\n{self._log_tail()}")
            time.sleep(0.2)
        if abs(score_of(answer) - score) > 1e-9:
            raise RuntimeError(f"{self.system.name} answered {score_of(answer)}, expected {score}")

    def cpu_s(self) -> float:
        """CPU seconds so far of all its processes that live."""
        total = 0.0
        for process in self._family():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total

    def stop(self) -> None:
        """End the server and whatever it started and left behind."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        for process in self._family():
            process.kill()

    def _family(self) -> list[psutil.Process]:
        """Found by the mark in their environment: HAProxy outlives its parent when it is reloaded."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(_MARK) == self._mark
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def _ask(self, body: str) -> dict[str, Any] | list[float] | None:
        request = urllib.request.Request(self.url, body.encode(), {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                answer: dict[str, Any] | list[float] = json.load(response)
                return answer
        except (urllib.error.URLError, OSError):
            return None

    def _log_tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Nothing of another cluster's settings, and one thread of linear algebra for everybody."""
    kept = {k: v for k, v in environment.items() if not k.startswith("RAY_")}
    return {
        **kept,
        "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "disabled",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONPATH": str(ROOT),  # replicas import predictors of this repository
    }
