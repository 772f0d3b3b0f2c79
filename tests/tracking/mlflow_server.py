"""A real MLflow server on a SQLite file, as a process that a test may stop for a while, or kill and start again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import requests

__all__ = ["MlflowServer"]

_START_S = 90.0


class MlflowServer:
    """The server of one test; `start` it, and `kill` it at the end."""

    def __init__(self, folder: Path, port: int) -> None:
        self.uri = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)),
            *("--workers", "1", "--backend-store-uri", f"sqlite:///{self._folder / 'server.db'}"),
            *("--default-artifact-root", f"{(self._folder / 'artifacts').as_uri()}"),
        ]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
        self._process = subprocess.Popen(command, env=environment, start_new_session=True, **quiet)  # type: ignore[call-overload]
        try:
            self._await_answer()
        except BaseException:
            self.kill()
            raise

    def _await_answer(self) -> None:
        deadline_s = time.monotonic() + _START_S
        while not self._answers():
            assert self._process is not None
            assert self._process.poll() is None, "the MLflow server ended while starting"
            assert time.monotonic() < deadline_s, f"the MLflow server did not answer within {_START_S:g} s"
            time.sleep(0.2)

    def stand_still(self) -> None:
        """It takes connections and answers nothing any more."""
        self._tell(signal.SIGSTOP)

    def go_on(self) -> None:
        """The inverse of `stand_still`."""
        self._tell(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once; it can be started again."""
        if self._process is not None and self._process.poll() is None:
            self._tell(signal.SIGKILL)
            self._process.wait()

    def _tell(self, what: signal.Signals) -> None:
        assert self._process is not None
        leader = psutil.Process(self._process.pid)
        for process in (leader, *leader.children(recursive=True)):
            process.send_signal(what)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.uri}/health", timeout=2).status_code == 200
        except requests.RequestException:
            return False
