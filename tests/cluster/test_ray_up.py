"""`ray up` and `ray down` of cluster/local.yaml for real, beside another Ray cluster that must not notice."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import ray
import yaml

from mlops_ray.demo.world import World
from mlops_ray.spec import Workspace
from mlops_ray.store import Store
from mlops_ray.tracking import Tracking

ROOT = Path(__file__).parents[2]
NETWORK = "127.0.73"
JOB = """
import json, os, sys, ray
ray.init(log_to_driver=False)
print("RESULT", json.dumps({"python": sys.executable, "home": os.environ["MLOPS_RAY_HOME"],
    "ips": sorted(n["NodeManagerAddress"] for n in ray.nodes() if n["Alive"]), "cpus": ray.cluster_resources()["CPU"]}))
"""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class LocalCluster:
    """A cluster that is up, all of it below one folder."""

    yaml_file: Path
    folder: Path
    dashboard: str
    environment: Mapping[str, str]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    # Ray gives 10002-19999 to its workers and refuses a port of theirs for anything else
    return port if port > 20_000 else _free_port()


def _copy(folder: Path, gcs: int, dashboard: int, client: int) -> dict[str, Any]:
    """cluster/local.yaml with a name, ports, addresses and folders of its own."""
    text = (ROOT / "cluster" / "local.yaml").read_text(encoding="utf-8")
    text = text.replace("6379", str(gcs)).replace("8265", str(dashboard)).replace("127.0.10", NETWORK)
    text = text.replace(
        "ray start --head", f"ray start --head --temp-dir={folder}/ray --ray-client-server-port={client}"
    )
    text = text.replace("/tmp/ray-$NODE_IP", f"{folder}/w")
    config: dict[str, Any] = yaml.safe_load(text)
    config["cluster_name"] = folder.name
    config["provider"]["state_dir"] = str(folder / "nodes")
    return config


def _cli(cluster: LocalCluster, *arguments: str, limit_s: float = 240) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ray"), *arguments],
        env=dict(cluster.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def _processes_of(cluster: LocalCluster) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if str(cluster.folder) in command and process.pid != os.getpid():
            found.append(command[:200])
    return found


def _submit(cluster: LocalCluster) -> dict[str, Any]:
    job = cluster.folder / "job"
    job.mkdir(exist_ok=True)
    (job / "look.py").write_text(JOB, encoding="utf-8")
    submitted = ("job", "submit", "--address", cluster.dashboard, "--working-dir", str(job), "--", "python", "look.py")
    line = next(line for line in _cli(cluster, *submitted).splitlines() if line.startswith("RESULT "))
    result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return result


@pytest.fixture(scope="module")
def cluster(ray_cluster: str) -> Iterator[LocalCluster]:
    # AF_UNIX names are short: Ray's sockets do not fit below pytest's own folders
    with tempfile.TemporaryDirectory(prefix="ru", dir="/tmp") as name:
        folder = Path(name)
        gcs, dashboard, client = _free_port(), _free_port(), _free_port()
        file = folder / "local.yaml"
        file.write_text(yaml.safe_dump(_copy(folder, gcs, dashboard, client)), encoding="utf-8")
        inherited = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_AUTH_MODE")}
        environment = inherited | {
            "MLOPS_RAY_HOME": str(folder / "home"),
            "RAY_USAGE_STATS_ENABLED": "0",
            "NO_COLOR": "1",
        }
        up = LocalCluster(file, folder, f"http://127.0.0.1:{dashboard}", environment)
        try:
            _cli(up, "up", "-y", "--no-config-cache", str(file))
            yield up
        finally:
            _cli(up, "down", "-y", str(file))


def test_jobs_ingest_and_train_a_version_that_mlflow_knows_with_its_dataset(cluster: LocalCluster) -> None:
    work = cluster.folder / "work"
    shutil.copytree(ROOT / "jobs", work / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    (work / "landing").mkdir()
    pq.write_table(World(seed=5).batch(1500, datetime(2026, 6, 1, tzinfo=UTC), seed=1), work / "landing" / "1.parquet")
    spec = (ROOT / "mlops_ray" / "demo" / "churn.yaml").read_text(encoding="utf-8")
    (work / "churn.yaml").write_text(spec.replace("trials: 4", "trials: 2"), encoding="utf-8")
    submit = ("job", "submit", "--address", cluster.dashboard, "--working-dir", str(work), "--", "python")

    for job in ("jobs/ingest.py", "jobs/train.py"):
        assert "succeeded" in _cli(cluster, *submit, job, "--spec", "churn.yaml").lower()

    workspace = Workspace.load(cluster.folder / "home", {})
    version = Tracking(workspace.tracking, artifacts=f"{workspace.lake}/mlflow").describe("churn", 1)
    assert version["tags"]["mlops_ray.dataset"] == "mlops.churn@v1"
    record = Store(workspace.store).model_version("churn", 1)
    assert record.dataset == "mlops.churn@v1"
    assert record.run_id == version["run_id"]


def test_it_comes_up_runs_a_job_on_two_nodes_and_goes_without_touching_another_cluster(cluster: LocalCluster) -> None:
    seen = _submit(cluster)
    deadline_s = time.monotonic() + 120
    while len(seen["ips"]) < 2 and time.monotonic() < deadline_s:  # the autoscaler starts the worker after `ray up`
        time.sleep(2)
        seen = _submit(cluster)
    assert seen["ips"] == [f"{NETWORK}.1", f"{NETWORK}.2"]
    assert seen["cpus"] == 4
    assert Path(seen["python"]).samefile(sys.executable)
    assert Path(seen["python"]).parent == Path(sys.executable).parent
    assert seen["home"] == str(cluster.folder / "home")

    _cli(cluster, "down", "-y", str(cluster.yaml_file))
    assert _processes_of(cluster) == []
    assert [path.suffix for path in (cluster.folder / "nodes").iterdir()] == [".lock"]
    assert ray.get(ray.remote(lambda: "still here").remote()) == "still here"
