"""Sweeps as a user asks for them, on the session's cluster: workers, budgets and schedulers."""

import time
from pathlib import Path
from typing import Any

import lightgbm
import mlflow
import pytest

from mlops_ray.errors import TrainError
from mlops_ray.model import TrainedModel
from mlops_ray.spec import Workspace
from mlops_ray.store import ModelVersionRecord
from mlops_ray.train import TrialContext, run_training, train_lightgbm
from tests.train.conftest import CODE, spec_of

SLOW = "tests.train.test_sweeps_on_ray:slow_when_asked"


def slow_when_asked(context: TrialContext) -> TrainedModel:
    """A user's trainer some of whose trials would take for ever."""
    if context.params["slow"]:
        time.sleep(600)
    return train_lightgbm(context_without(context, "slow"))


def context_without(context: TrialContext, name: str) -> TrialContext:
    """The trial without one of its hyperparameters."""
    fields = {field: getattr(context, field) for field in TrialContext.__dataclass_fields__}
    return TrialContext(**fields | {"params": {k: v for k, v in context.params.items() if k != name}})


def run(name: str, workspace: Workspace, **train: Any) -> ModelVersionRecord:
    return run_training(
        spec_of(name, train=train), workspace, actor="test", clock=lambda: 2e9, code=CODE, progress=lambda _: None
    )


def trials_of(record: ModelVersionRecord, workspace: Workspace) -> list[Any]:
    client = mlflow.MlflowClient(workspace.tracking)
    parent = client.get_run(record.run_id)
    return list(client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{record.run_id}'"))


@pytest.mark.slow
def test_two_workers_make_a_model_as_good_as_that_of_one(trained_workspace: Workspace) -> None:
    # as many rounds for both: with half the rows each, early stopping would come elsewhere
    train = {"trials": 1, "max_iterations": 20, "space": {"num_leaves": 6, "early_stopping_rounds": 50}}
    one = run("one_worker", trained_workspace, **train)
    two = run("two_workers", trained_workspace, **train, workers=2)
    assert two.metrics["auc"] == pytest.approx(one.metrics["auc"], abs=0.03)
    text = (Path(two.bundle_uri.removeprefix("file://")) / "model.lgb.txt").read_text()
    assert "[tree_learner: data]" in text
    assert "[num_machines: 2]" in text
    # the root of a tree counts the rows of both workers
    root = lightgbm.Booster(model_str=text).dump_model()["tree_info"][0]["tree_structure"]
    assert root["internal_count"] > 300
    [trial] = trials_of(two, trained_workspace)
    client = mlflow.MlflowClient(trained_workspace.tracking)
    assert len(client.get_metric_history(trial.info.run_id, "validation_auc")) > 5


@pytest.mark.slow
def test_two_workers_train_one_net(trained_workspace: Workspace) -> None:
    train = {"trainer": "torch", "trials": 1, "max_iterations": 6, "workers": 2}
    record = run("two_nets", trained_workspace, **train, space={"hidden": 16, "learning_rate": 0.02, "batch_size": 64})
    assert record.metrics["auc"] > 0.8


def test_a_trial_without_room_is_refused_and_not_waited_for(trained_workspace: Workspace) -> None:
    with pytest.raises(TrainError, match=r"a trial needs 50 workers of 1 CPUs .* the cluster has room for"):
        run("too_many", trained_workspace, workers=50)


@pytest.mark.slow
def test_when_the_time_is_over_the_best_finished_trial_wins(trained_workspace: Workspace) -> None:
    space = {"slow": {"choice": [False, True]}}
    train = {"trainer": SLOW, "search": "grid", "trials": 2, "space": space, "time_budget_s": 60}
    record = run("budget", trained_workspace, **train)
    assert record.metrics["auc"] > 0.5
    assert {t.data.params["slow"] for t in trials_of(record, trained_workspace)} == {"True", "False"}


def test_without_a_finished_trial_in_time_the_training_says_so(trained_workspace: Workspace) -> None:
    train = {"trainer": SLOW, "trials": 1, "space": {"slow": True}, "time_budget_s": 3}
    with pytest.raises(TrainError, match=r"none of . trials came to its end within train.time_budget_s: 3"):
        run("no_budget", trained_workspace, **train)


def test_conditions_reach_the_trials(trained_workspace: Workspace) -> None:
    space = {
        "bagging_freq": {"choice": [0, 1]},
        "bagging_fraction": {"choice": [0.5, 0.8], "when": {"bagging_freq": 1}},
        "num_leaves": 4,
    }
    record = run("conditional", trained_workspace, search="grid", scheduler="median", space=space)
    params = [t.data.params for t in trials_of(record, trained_workspace)]
    found = {(p["bagging_freq"], p.get("bagging_fraction")) for p in params}
    assert found == {("0", None), ("1", "0.5"), ("1", "0.8")}


@pytest.mark.slow
def test_a_population_hands_its_weights_on(trained_workspace: Workspace) -> None:
    space = {"hidden": 8, "batch_size": 64, "learning_rate": {"log_uniform": [1e-6, 0.03]}}
    train = {"trainer": "torch", "scheduler": "pbt", "search": "random", "trials": 3, "max_iterations": 15}
    record = run("population", trained_workspace, **train, max_concurrent=3, space=space)
    assert record.metrics["auc"] > 0.7
    client = mlflow.MlflowClient(trained_workspace.tracking)
    for trial in trials_of(record, trained_workspace):
        history = client.get_metric_history(trial.info.run_id, "validation_auc")
        assert max(point.step for point in history) == 16
