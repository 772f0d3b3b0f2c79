"""A trial whose worker is killed in the middle: the next one goes on from its checkpoint, to the same model."""

import os
import signal
import time
from pathlib import Path
from threading import Thread
from typing import Any

import mlflow
import pyarrow.parquet as pq
import pytest
from ray.util.state import list_actors

from mlops_ray.data import ingest
from mlops_ray.spec import Workspace
from mlops_ray.store import ModelVersionRecord
from mlops_ray.train import run_training
from mlops_ray.verdict import Verdict
from tests.train.conftest import CODE, churn_table, spec_of
from tests.train.test_reproduction import again

PARAMS: dict[str, dict[str, Any]] = {
    "lightgbm": {"num_leaves": 5, "feature_fraction": 0.7, "early_stopping_rounds": 99},
    "torch": {"hidden": 8, "batch_size": 64},
}
# never done before the last iteration, and how many these are
PATIENT: dict[str, tuple[dict[str, Any], int]] = {
    "lightgbm": ({"num_leaves": 63, "early_stopping_rounds": 9999}, 450),
    "torch": ({"hidden": 64, "batch_size": 256, "patience": 9999}, 30),
}


def train(name: str, workspace: Workspace, said: list[str], **train: Any) -> ModelVersionRecord:
    changes = {"trainer": "tests.train.resuming:killed_once", "trials": 1, "checkpoint_every_s": 0, **train}
    spec = spec_of(name, train=changes)
    return run_training(spec, workspace, actor="test", clock=lambda: 2e9, code=CODE, progress=said.append)


@pytest.mark.parametrize(
    ("by", "scheduler"),
    [
        ("lightgbm", "asha"),
        pytest.param("lightgbm", "median", marks=pytest.mark.slow),
        pytest.param("torch", "none", marks=pytest.mark.slow),
    ],
)
def test_a_trial_goes_on_from_its_checkpoint_after_its_worker_was_killed(
    trained_workspace: Workspace, tmp_path: Path, by: str, scheduler: str
) -> None:
    name, said = f"killed_{by}_{scheduler}", list[str]()
    space = {**PARAMS[by], "by": by, "traces": str(tmp_path)}
    killed = train(name, trained_workspace, said, scheduler=scheduler, space=space)
    assert any("trial 1 of 1 is tried again" in sentence for sentence in said), said
    whole = train(name, trained_workspace, said, scheduler=scheduler, space=space)
    assert (killed.training["resumed_from"], killed.training["attempts"]) == (6, 2)
    assert (whole.training["resumed_from"], whole.training["attempts"]) == (None, 1)
    assert killed.training["model_files"] == whole.training["model_files"]
    steps = [steps_of(record, trained_workspace) for record in (killed, whole)]
    assert steps == [list(range(1, 17))] * 2


@pytest.fixture(scope="module")
def large(ray_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """So many rows that there is time to kill somebody."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "raw").mkdir()
    pq.write_table(churn_table(60_000), folder / "raw" / "1.parquet")
    workspace = Workspace.at(folder / "home", ray_address=ray_cluster)
    ingest(spec_of(data={"source": str(folder / "raw")}), workspace, now_s=1.0, run_id="r")
    return workspace


@pytest.mark.slow
@pytest.mark.parametrize("by", ["lightgbm", "torch"])
def test_a_trial_of_two_workers_goes_on_too(large: Workspace, by: str) -> None:
    name, said = f"two_killed_{by}", list[str]()
    space, iterations = PATIENT[by]
    killer = Thread(target=kill_a_worker, args=(large, name), daemon=True)
    killer.start()
    record = train(name, large, said, trainer=by, workers=2, max_iterations=iterations, space=space)
    killer.join(10)
    assert any("trial 1 of 1 is tried again" in sentence for sentence in said), said
    assert record.training["attempts"] == 2
    assert record.training["resumed_from"] >= iterations // 15
    steps = steps_of(record, large)
    assert steps == sorted(set(steps))
    assert steps[-1] == iterations + 1


def kill_a_worker(workspace: Workspace, model: str) -> None:
    """As soon as Ray Train knows of a checkpoint of the model's trial."""
    deadline_s, tune = time.monotonic() + 180, Path(workspace.home) / "tune"
    while not list(tune.glob(f"{model}-*/workers/*/checkpoint_manager_snapshot.json")):
        if time.monotonic() > deadline_s:
            return
        time.sleep(0.05)
    wanted = [("class_name", "=", "RayTrainWorker"), ("state", "=", "ALIVE")]
    workers = list_actors(address=workspace.ray_address, filters=wanted)
    os.kill(workers[0].pid, signal.SIGKILL)


def steps_of(record: ModelVersionRecord, workspace: Workspace) -> list[int]:
    client = mlflow.MlflowClient(workspace.tracking)
    experiment = client.get_run(record.run_id).info.experiment_id
    [trial] = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{record.run_id}'")
    return [point.step for point in client.get_metric_history(trial.info.run_id, "validation_auc")]


@pytest.mark.slow
def test_an_interrupted_trial_can_be_reproduced_where_it_drew_no_rows(
    trained_workspace: Workspace, tmp_path: Path
) -> None:
    space = {**PARAMS["lightgbm"], "by": "lightgbm", "traces": str(tmp_path)}
    record = train("killed_again", trained_workspace, [], space=space)
    assert again(trained_workspace, record).verdict is Verdict.PASS


@pytest.mark.slow
def test_another_result_after_an_interruption_decides_nothing(trained_workspace: Workspace, tmp_path: Path) -> None:
    drawn = {"bagging_fraction": 0.5, "bagging_freq": 1}
    space = {**PARAMS["lightgbm"], **drawn, "by": "lightgbm", "traces": str(tmp_path)}
    record = train("killed_with_lots", trained_workspace, [], space=space)
    found = again(trained_workspace, record)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "its trial was interrupted and went on from its checkpoint at iteration 6" in found.reason
