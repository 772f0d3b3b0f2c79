"""A sweep whose driver or MLflow server goes away in the middle: nothing is lost, and nothing is there twice."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
import pytest

from mlops_ray.control.local_cluster import free_port
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import Store
from tests.tracking.mlflow_server import MlflowServer
from tests.train.conftest import spec_of

pytestmark = pytest.mark.slow

# MLOPS_RAY_TEST_OUTAGE_S=60 for the full minute
OUTAGE_S = float(os.environ.get("MLOPS_RAY_TEST_OUTAGE_S", "6"))
TRIALS = 4
STEPS = {"validation_auc": 11, "loss": 10}  # ten reports and that of the finished model


class Driver:
    """A training in a process of its own."""

    def __init__(self, folder: Path, spec: ModelSpec, workspace: Workspace) -> None:
        self._files = (folder / "spec.json", folder / "workspace.json")
        self._files[0].write_text(spec.model_dump_json())
        self._files[1].write_text(workspace.model_dump_json())
        self.said = folder / "said.txt"

    def start(self, mode: str = "new") -> subprocess.Popen[bytes]:
        """Begin, or `resume`."""
        command = [sys.executable, "-m", "tests.train.resuming", *map(str, self._files), mode]
        with self.said.open("ab") as said:
            return subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=said, stderr=said)

    def wait_for(self, condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        """Until `condition` holds."""
        deadline_s = time.monotonic() + 120
        while not condition():
            assert process.poll() is None, self.said.read_text()
            assert time.monotonic() < deadline_s, self.said.read_text()
            time.sleep(0.1)


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    (tmp_path / "traces").mkdir()
    return tmp_path / "traces"


def slow_spec(name: str, traces: Path, pause_s: float = 0.3, **train: Any) -> ModelSpec:
    space = {"num_leaves": {"int_uniform": [4, 60]}, "traces": str(traces), "pause_s": pause_s}
    changes = {"trainer": "tests.train.resuming:slow_trainer", "space": space, "trials": TRIALS, "max_concurrent": 2}
    return spec_of(name, train={**changes, "scheduler": "none", **train})


def check_runs(uri: str, model: str, metrics: Mapping[str, int]) -> None:
    """One parent, a run for each trial, every step of each of `metrics` once and in order, up to its last."""
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name(model)
    runs = client.search_runs([experiment.experiment_id])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(runs) - len(children) == 1
    assert Counter(run.data.tags["mlops_ray.trial"] for run in children).most_common(1)[0][1] == 1
    assert len(children) == TRIALS
    assert {run.info.status for run in runs} == {"FINISHED"}
    for child in children:
        for metric, steps in metrics.items():
            history = client.get_metric_history(child.info.run_id, metric)
            assert [point.step for point in history] == list(range(1, steps + 1)), metric
    [parent] = [run for run in runs if run not in children]
    names = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"card.md", "training.json", "plots"} <= names
    assert len(client.search_model_versions(f"name = '{model}'")) == 1


def starts(traces: Path) -> int:
    return len(list(traces.iterdir()))


def ended(driver: Driver) -> int:
    return driver.said.read_text().count(" completed: ")


def registered(workspace: Workspace, model: str) -> list[int]:
    return [version.version for version in Store(workspace.store).model_versions(model)]


@pytest.fixture
def workspace(trained_workspace: Workspace, live: Workspace) -> Workspace:
    return trained_workspace.model_copy(update={"ray_address": live.ray_address})


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_sweep_whose_driver_was_ended_is_gone_on_with(
    workspace: Workspace, tmp_path: Path, traces: Path, signal_: signal.Signals
) -> None:
    name = f"ended_by_{signal_.name.lower()}"
    driver = Driver(tmp_path, slow_spec(name, traces), workspace)
    first = driver.start()
    driver.wait_for(lambda: ended(driver) >= 1 and starts(traces) >= 3, first)
    time.sleep(0.8)  # in the middle of the others
    first.send_signal(signal_)
    assert first.wait(60) != 0
    assert registered(workspace, name) == []
    second = driver.start("resume")
    assert second.wait(180) == 0, driver.said.read_text()
    assert registered(workspace, name) == [1]
    assert starts(traces) < 2 * TRIALS  # those that had ended were not run again
    check_runs(workspace.tracking, name, STEPS)
    again = driver.start("resume")
    assert again.wait(60) != 0
    assert "no unfinished sweep to resume" in driver.said.read_text()


def test_a_trial_goes_on_from_its_checkpoint_after_its_driver_was_killed(
    workspace: Workspace, tmp_path: Path, traces: Path
) -> None:
    name = "in_the_middle"
    spec = slow_spec(name, traces, 0.5, trainer="tests.train.resuming:paused", checkpoint_every_s=0)
    spec.train.space["early_stopping_rounds"] = 99
    driver = Driver(tmp_path, spec, workspace)
    first = driver.start()
    driver.wait_for(lambda: starts(traces) >= 2, first)
    time.sleep(4)  # two trials are in the middle of their 15 checkpoints
    first.kill()
    first.wait()
    begun = {file.name for file in traces.iterdir()}
    second = driver.start("resume")
    assert second.wait(180) == 0, driver.said.read_text()
    again = [file.name.partition("-")[2] for file in sorted(traces.iterdir()) if file.name not in begun]
    assert again == ["resumed"] * 2 + ["new"] * 2
    check_runs(workspace.tracking, name, {"validation_auc": 16})


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("server"), free_port())
    server.start()
    yield server
    server.kill()


@pytest.mark.parametrize("how", ["killed", "silent"])
def test_a_sweep_outlives_its_mlflow_server(
    workspace: Workspace, tmp_path: Path, traces: Path, server: MlflowServer, how: str
) -> None:
    name = f"server_{how}"
    elsewhere = workspace.model_copy(update={"tracking": server.uri})
    driver = Driver(tmp_path, slow_spec(name, traces), elsewhere)
    process = driver.start()
    driver.wait_for(lambda: starts(traces) >= 2, process)
    time.sleep(1)
    server.kill() if how == "killed" else server.stand_still()
    time.sleep(OUTAGE_S)
    server.start() if how == "killed" else server.go_on()
    assert process.wait(240) == 0, driver.said.read_text()
    assert starts(traces) == TRIALS
    check_runs(server.uri, name, STEPS)
