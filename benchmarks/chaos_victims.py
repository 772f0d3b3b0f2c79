"""What is killed: the processes of a loop, found by what they are, ended by SIGKILL."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray
import requests

from benchmarks.cluster_processes import champion_pids, control_pid
from mlops_ray.spec import DRIFT_ACTOR, Workspace

__all__ = ["VICTIMS", "MlflowServer", "Victims", "driver_pids"]

VICTIMS = ("control actor", "drift actor", "retraining driver", "MLflow server", "champion replica")
_ANSWERS_S = 60.0
_START_S = 90.0
_DRIVER_COMES_S = 20.0


class MlflowServer:
    """A tracking server on a SQLite file, which somebody starts again two seconds after it was killed."""

    def __init__(self, folder: Path, port: int) -> None:
        self.uri = f"http://127.0.0.1:{port}"
        self._folder, self._port = folder, port
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="mlflow")

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._begin()
        deadline_s = time.monotonic() + _START_S
        while not self._answers():
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"the MLflow server did not answer within {_START_S:g} s")
            time.sleep(0.2)
        self._thread.start()

    def kill(self) -> int:
        """SIGKILL for it and its workers; the process id it had."""
        assert self._process is not None, "it was started"
        leader = psutil.Process(self._process.pid)
        for process in (*leader.children(recursive=True), leader):
            process.send_signal(signal.SIGKILL)
        return self._process.pid

    def end(self) -> None:
        """Kill it for good."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._process is not None and self._process.poll() is None:
            self.kill()
            self._process.wait()

    def _keep(self) -> None:
        while not self._ended.wait(2.0):
            if self._process is not None and self._process.poll() is not None:
                self._begin()

    def _begin(self) -> None:
        store = f"sqlite:///{self._folder / 'server.db'}"
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)),
            *("--workers", "1", "--backend-store-uri", store),
            *("--default-artifact-root", (self._folder / "artifacts").as_uri()),
        ]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                start_new_session=True,
            )

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.uri}/health", timeout=2).status_code == 200
        except requests.RequestException:
            return False


@dataclass(frozen=True)
class Victims:
    """Everything of a running loop that can be killed, by name."""

    workspace: Workspace
    model: str
    mlflow: MlflowServer

    def kill(self, name: str) -> int | None:
        """SIGKILL; the process id it had, or None where there is no such process now."""
        kills: Mapping[str, Callable[[], int | None]] = {
            "control actor": lambda: _sigkill(control_pid(self.workspace)),
            "drift actor": lambda: _sigkill(self._drift_pid()),
            "retraining driver": self._kill_driver,
            "MLflow server": self.mlflow.kill,
            "champion replica": self._kill_replica,
        }
        return kills[name]()

    def _drift_pid(self) -> int:
        actor = ray.get_actor(DRIFT_ACTOR, namespace=self.workspace.namespace)
        pid: int = ray.get(actor.ready.remote(), timeout=_ANSWERS_S)
        return pid

    def _kill_driver(self) -> int | None:
        """A job that was just submitted takes seconds to become a process."""
        deadline_s = time.monotonic() + _DRIVER_COMES_S
        while time.monotonic() < deadline_s:
            pids = driver_pids(self.workspace)
            if pids:
                return _sigkill(pids[0])
            time.sleep(0.1)
        return None

    def _kill_replica(self) -> int | None:
        pids = champion_pids(self.workspace, self.model)
        return _sigkill(pids[0]) if pids else None


def driver_pids(workspace: Workspace) -> list[int]:
    """Retraining drivers of the workspace: Python processes with the command of such a job."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        command = process.info["cmdline"] or []
        ours = "retrain" in command and "--trigger" in command and workspace.home in command
        if ours and "python" in Path(command[0]).name:
            found.append(process.info["pid"])
    return found


def _sigkill(pid: int) -> int | None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return None
    return pid
