import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from mlops_ray.drift import build_reference
from mlops_ray.errors import TrackingError
from mlops_ray.model import InputColumn, Signature, TrainedModel, load_bundle, write_bundle
from mlops_ray.tracking import MetricPoint, ModelInput, Tracking
from tests.tracking.conftest import DATASET

# MLflow 3.17's own tables, with SQLAlchemy 2.1

INPUTS = [
    ModelInput("tenure", "int", nullable=True, examples=[3, None]),
    ModelInput("plan", "category", nullable=False, examples=["pro", "basic"]),
]
DESCRIPTION = {"class": "tests.tracking.test_tracking:Summer"}


class Summer:
    """Adds the inputs of a row."""

    def __init__(self, _: Path) -> None:
        pass

    def predict(self, matrix: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.nan_to_num(matrix).sum(axis=1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("bundle")
    signature = Signature(
        (InputColumn("tenure", "int", True), InputColumn("plan", "category", False, ("basic", "pro"))), "regression"
    )
    reference = build_reference(signature.columns(), np.array([[1.0, 0.0], [2.0, 1.0]] * 20))
    model = TrainedModel("python", {"predictor.json": json.dumps(DESCRIPTION).encode()})
    write_bundle(folder, model=model, signature=signature, reference=reference, card="# Card\n")
    return folder


@pytest.fixture
def client(tracking: Tracking) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(tracking.uri)


@pytest.fixture
def register(tracking: Tracking, sweep: str, bundle: Path) -> Callable[[], int]:
    def register_bundle() -> int:
        return tracking.log_and_register(
            sweep, bundle, name="churn", inputs=INPUTS, tags={"digest": "d"}, requirements=["numpy==2.4"]
        )

    return register_bundle


def test_a_sweep_is_a_run_with_tags_params_and_its_dataset(client: mlflow.MlflowClient, sweep: str) -> None:
    run = client.get_run(sweep)
    [dataset] = [i.dataset for i in run.inputs.dataset_inputs]
    assert (run.data.tags["seed"], run.data.params["trials"]) == ("7", "3")
    assert (dataset.name, json.loads(dataset.source)["digest"]) == ("mlops.churn@v2", DATASET.digest)


def test_sweeps_of_one_model_share_an_experiment(tracking: Tracking, client: mlflow.MlflowClient, sweep: str) -> None:
    other = tracking.start_sweep("churn", sweep=uuid.uuid4().hex, name="second", tags={}, params={}, dataset=DATASET)
    assert client.get_run(sweep).info.experiment_id == client.get_run(other).info.experiment_id


def test_a_trial_is_a_child_of_its_sweep(tracking: Tracking, client: mlflow.MlflowClient, sweep: str) -> None:
    run = client.get_run(tracking.start_trial(sweep, "t1", {"leaves": 31}))
    assert (run.data.tags["mlflow.parentRunId"], run.data.params["leaves"]) == (sweep, "31")


def test_the_same_trial_gets_the_same_run(tracking: Tracking, sweep: str) -> None:
    assert tracking.start_trial(sweep, "t1", {}) == tracking.start_trial(sweep, "t1", {})


def test_trials_of_one_name_in_two_sweeps_are_two_runs(tracking: Tracking, sweep: str) -> None:
    other = tracking.start_sweep("churn", sweep=uuid.uuid4().hex, name="second", tags={}, params={}, dataset=DATASET)
    assert tracking.start_trial(sweep, "t1", {}) != tracking.start_trial(other, "t1", {})


def test_points_keep_their_steps_and_times(tracking: Tracking, client: mlflow.MlflowClient, sweep: str) -> None:
    tracking.log_points(sweep, [MetricPoint("auc", 0.5 + i / 5000, i, 100.0 + i) for i in range(1200)])
    history = client.get_metric_history(sweep, "auc")
    assert [(m.step, m.timestamp) for m in history[:2]] == [(0, 100_000), (1, 101_000)]
    assert len(history) == 1200


def test_metrics_of_a_step_are_logged_now(tracking: Tracking, client: mlflow.MlflowClient, sweep: str) -> None:
    tracking.log_metrics(sweep, {"auc": 0.9}, step=4)
    [metric] = client.get_metric_history(sweep, "auc")
    assert (metric.value, metric.step, metric.timestamp) == (0.9, 4, 5500)


def test_an_ended_run_has_its_status_and_last_metrics(
    tracking: Tracking, client: mlflow.MlflowClient, sweep: str
) -> None:
    tracking.end_run(sweep, "FAILED", {"trials": 0.0})
    run = client.get_run(sweep)
    assert (run.info.status, run.data.metrics["trials"]) == ("FAILED", 0.0)


def test_tags_and_texts_are_kept_with_the_run(tracking: Tracking, client: mlflow.MlflowClient, sweep: str) -> None:
    tracking.set_tags(sweep, {"verdict": "PASS"})
    tracking.log_text(sweep, "# Card", "card.md")
    assert client.get_run(sweep).data.tags["verdict"] == "PASS"
    assert [f.path for f in client.list_artifacts(sweep)] == ["card.md"]


def test_registered_versions_count_up(register: Callable[[], int]) -> None:
    first = register()
    assert register() == first + 1


def test_a_version_says_its_run_tags_and_aliases(tracking: Tracking, sweep: str, register: Callable[[], int]) -> None:
    version = register()
    tracking.set_alias("churn", "candidate", version)
    described = tracking.describe("churn", version)
    assert (described["run_id"], described["tags"]) == (sweep, {"digest": "d"})
    assert described["aliases"] == ("candidate",)


def test_an_unknown_version_is_an_error_that_names_it(tracking: Tracking) -> None:
    with pytest.raises(TrackingError, match="read version 99 of model nothing"):
        tracking.describe("nothing", 99)


def test_mlflow_itself_loads_the_model_and_predicts_as_the_bundle_does(
    tracking: Tracking, bundle: Path, register: Callable[[], int]
) -> None:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tracking.uri)
    try:
        model = mlflow.pyfunc.load_model(f"models:/churn/{register()}")
    finally:
        mlflow.set_tracking_uri(before)
    rows = pd.DataFrame({"tenure": [3.0, None], "plan": ["pro", "new"]})
    expected = load_bundle(str(bundle)).predict(np.array([[3.0, 1.0], [np.nan, 2.0]]))
    np.testing.assert_array_equal(model.predict(rows), expected)
    assert [c.name for c in model.metadata.signature.inputs.inputs] == ["tenure", "plan"]
    assert model.input_example.to_dict("list")["plan"] == ["pro", "basic"]


def test_an_answer_of_several_classes_has_a_named_column_for_each(tracking: Tracking, sweep: str, bundle: Path) -> None:
    number = tracking.log_and_register(
        sweep, bundle, name="kinds", inputs=INPUTS, tags={"digest": "d"}, classes=("cat", "dog")
    )
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tracking.uri)
    try:
        outputs = mlflow.models.get_model_info(f"models:/kinds/{number}").signature.outputs
    finally:
        mlflow.set_tracking_uri(before)
    assert [(column.name, column.type.name) for column in outputs.inputs] == [("cat", "double"), ("dog", "double")]
