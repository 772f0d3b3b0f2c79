import math
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from mlops_ray.control.local_cluster import free_port
from mlops_ray.tracking import Outbox, Sender, Tracking
from tests.tracking.conftest import DATASET
from tests.tracking.mlflow_server import MlflowServer

Point = tuple[str, float, int, float]


def start(trial: str, attempt: int = 1, **params: Any) -> dict[str, Any]:
    return {"kind": "start", "trial": trial, "number": 1, "attempt": attempt, "params": params, "at_s": 1.0}


def points(trial: str, *values: Point) -> dict[str, Any]:
    return {"kind": "points", "trial": trial, "value": 0.5, "points": [list(value) for value in values]}


def end(trial: str, status: str = "FINISHED") -> dict[str, Any]:
    return {"kind": "end", "trial": trial, "status": status, "tags": {"mlops_ray.outcome": "completed"}, "at_s": 9.0}


def send(tracking: Tracking, sweep: str, outbox: Outbox, said: list[str] | None = None) -> None:
    with Sender(tracking, sweep, outbox, tell=(said if said is not None else []).append) as sender:
        assert sender.drain(60)


@pytest.fixture
def client(tracking: Tracking) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(tracking.uri)


def test_a_trial_is_one_run_with_its_params_points_and_end(
    tracking: Tracking, sweep: str, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path)
    for entry in (start("t1", leaves=7), points("t1", ("auc", 0.5, 1, 1.0), ("auc", 0.6, 2, 2.0)), end("t1")):
        outbox.append(entry)
    send(tracking, sweep, outbox)
    run = client.get_run(outbox.runs["t1"])
    assert (run.info.status, run.info.end_time, run.data.params) == ("FINISHED", 9000, {"leaves": "7"})
    assert run.data.tags["mlops_ray.attempt"] == "1"
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "auc")] == [(1, 0.5), (2, 0.6)]


def test_what_is_sent_twice_is_there_once(
    tracking: Tracking, sweep: str, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path)
    values: list[Point] = [("auc", 0.5, 1, 1.0), ("auc", math.nan, 2, 2.0), ("auc", math.inf, 3, 3.0)]
    for entry in (start("t1"), points("t1", *values), end("t1")):
        outbox.append(entry)
    send(tracking, sweep, outbox)
    run_id = outbox.runs.pop("t1")
    outbox.mark_sent(0)  # as if the driver was killed before it noted that
    send(tracking, sweep, outbox)
    assert outbox.runs["t1"] == run_id
    assert [m.step for m in client.get_metric_history(run_id, "auc")] == [1, 2, 3]


def test_a_second_attempt_goes_on_in_the_same_run(
    tracking: Tracking, sweep: str, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path)
    for entry in (start("t1"), end("t1", "KILLED"), start("t1", attempt=2)):
        outbox.append(entry)
    send(tracking, sweep, outbox)
    run = client.get_run(outbox.runs["t1"])
    assert (run.info.status, run.data.tags["mlops_ray.attempt"]) == ("RUNNING", "2")


def test_what_mlflow_refuses_is_told_and_holds_nothing_up(
    tracking: Tracking, sweep: str, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    outbox, said = Outbox(tmp_path), list[str]()
    for entry in (start("t1"), points("t1", ("a$b", 0.5, 1, 1.0)), end("t1")):
        outbox.append(entry)
    send(tracking, sweep, outbox, said)
    assert client.get_run(outbox.runs["t1"]).info.status == "FINISHED"
    assert "left out of MLflow" in said[0]


def test_of_two_runs_of_a_trial_the_one_nobody_writes_to_is_dropped(
    tracking: Tracking, sweep: str, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path)
    outbox.append(start("t1"))
    send(tracking, sweep, outbox)
    kept = client.get_run(outbox.runs["t1"])
    double = client.create_run(kept.info.experiment_id, tags=kept.data.tags)
    assert tracking.drop_doubles(sweep, outbox.runs) == 1
    assert client.get_run(double.info.run_id).info.lifecycle_stage == "deleted"
    assert client.get_run(kept.info.run_id).info.lifecycle_stage == "active"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("server"), free_port())
    server.start()
    yield server
    server.kill()


@pytest.mark.slow
def test_nothing_is_lost_while_a_server_is_away_and_started_again(server: MlflowServer, tmp_path: Path) -> None:
    tracking = Tracking(server.uri, artifacts=(tmp_path / "artifacts").as_uri())
    sweep = tracking.start_sweep("m", sweep=uuid.uuid4().hex, name="s", tags={}, params={}, dataset=DATASET)
    outbox, said = Outbox(tmp_path / "outbox"), list[str]()
    with Sender(tracking, sweep, outbox, tell=said.append) as sender:
        outbox.append(start("t1", leaves=7))
        outbox.append(points("t1", ("auc", math.nan, 1, 1.0), ("auc", math.inf, 2, 2.0)))
        assert sender.drain(60)
        server.kill()
        for step in range(3, 40):
            outbox.append(points("t1", ("auc", 0.5, step, float(step))))
            time.sleep(0.05)
        outbox.append(start("t2"))
        outbox.append(end("t1"))
        assert not sender.drain(1)
        server.start()
        assert sender.drain(60)
    client = mlflow.MlflowClient(server.uri)
    history = client.get_metric_history(outbox.runs["t1"], "auc")
    assert [m.step for m in history] == list(range(1, 40))
    assert math.isnan(history[0].value)
    assert history[1].value > 1e300
    assert client.get_run(outbox.runs["t1"]).info.status == "FINISHED"
    assert any("until it answers" in s for s in said)
    assert "MLflow answers again" in said
