import json
import socket
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_ray.data import DatasetTable, ingest, load_version
from mlops_ray.errors import TrackingError, TrainError, ValidationError
from mlops_ray.evaluation import HoldoutFacts, scores
from mlops_ray.model import encode, load_bundle, read_probe
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import Event, ModelVersionRecord, Stage, Store
from mlops_ray.train import run_training
from mlops_ray.train.training_data import prepare
from tests.train.conftest import CODE, churn_table, spec_of

GATES = [{"metric": "auc", "min": 0.6}, {"metric": "auc", "not_worse_by": 0.2}]


def run(spec: ModelSpec, workspace: Workspace, **changes: Any) -> ModelVersionRecord:
    said: list[str] = changes.pop("said", [])
    return run_training(
        spec, workspace, actor="test", clock=lambda: 1_800_000_000.0, code=CODE, progress=said.append, **changes
    )


def make_champion(store: Store, record: ModelVersionRecord) -> None:
    with store.change(Event("champion.promoted", record.model, {}, "test", 2.0)) as change:
        change.set_stage(record.model, record.version, Stage.CHAMPION)


def state_of(workspace: Workspace) -> tuple[set[str], int]:
    """Files below the models of the lake, and events."""
    models = Path(workspace.home) / "lake" / "models"
    store = Store(workspace.store)
    store.create()
    return {str(f) for f in models.rglob("*")} if models.exists() else set(), len(store.events())


@pytest.fixture(scope="module")
def trained(trained_workspace: Workspace) -> ModelVersionRecord:
    """One sweep of three trials, which most tests look at."""
    return run(spec_of("first", gates=GATES), trained_workspace)


@pytest.fixture
def client(trained_workspace: Workspace) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(trained_workspace.tracking)


def test_the_version_is_in_the_store_with_one_event(trained: ModelVersionRecord, trained_workspace: Workspace) -> None:
    store = Store(trained_workspace.store)
    assert store.model_version("first", trained.version) == trained
    assert (trained.stage, trained.verdict, trained.dataset) == (Stage.CANDIDATE, "PASS", "tests.churn@v1")
    [event] = store.events(subject=f"first@{trained.version}")
    assert (event.kind, event.actor, event.payload["verdict"]) == ("model_version.created", "test", "PASS")
    assert store.verify().verified


def test_mlflow_has_a_parent_run_with_one_child_per_trial(
    trained: ModelVersionRecord, client: mlflow.MlflowClient
) -> None:
    parent = client.get_run(trained.run_id)
    children = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{trained.run_id}'")
    assert (parent.info.status, len(children)) == ("FINISHED", 3)
    assert {child.info.status for child in children} == {"FINISHED"}
    assert all({"num_leaves", "learning_rate"} <= set(child.data.params) for child in children)
    assert all("validation_auc" in child.data.metrics for child in children)


def test_mlflow_has_the_dataset_version_and_where_it_all_came_from(
    trained: ModelVersionRecord, client: mlflow.MlflowClient, trained_workspace: Workspace
) -> None:
    version = DatasetTable.of(spec_of(), trained_workspace).resolve("v1")
    parent = client.get_run(trained.run_id)
    [used] = [i.dataset for i in parent.inputs.dataset_inputs]
    assert (used.name, json.loads(used.source)["digest"]) == (version.ref, version.digest)
    tags = client.get_model_version("first", str(trained.version)).tags
    expected = {
        "dataset": version.ref, "snapshot_id": version.snapshot_id, "dataset_digest": version.digest, "seed": "3",
        "bundle_digest": trained.digest, "code_sha": CODE.sha, "code_dirty": "false",
        "lock_digest": CODE.lock_digest, "verdict": "PASS", "bundle_uri": trained.bundle_uri, "actor": "test",
    }  # fmt: skip
    assert tags == {f"mlops_ray.{name}": value for name, value in expected.items()} | {
        "mlflow.source.git.commit": CODE.sha
    }


def test_mlflow_has_the_report_of_the_validation(trained: ModelVersionRecord, client: mlflow.MlflowClient) -> None:
    files = [file.path for file in client.list_artifacts(trained.run_id, "validation")]
    assert files == ["validation/report.html", "validation/report.json"]


def test_the_newest_version_is_the_candidate_in_mlflow(
    trained: ModelVersionRecord, client: mlflow.MlflowClient
) -> None:
    assert int(client.get_model_version_by_alias("first", "candidate").version) == trained.version


def test_the_bundle_gives_the_recorded_metrics_on_the_holdout(
    trained: ModelVersionRecord, trained_workspace: Workspace
) -> None:
    spec = spec_of("first")
    table = load_version(trained_workspace, DatasetTable.of(spec, trained_workspace).resolve("v1"))
    data, bundle = prepare(spec, table), load_bundle(trained.bundle_uri)
    assert bundle.signature == data.signature
    assert scores("binary", data.holdout.y, bundle.predict(data.holdout.x)) == dict(trained.metrics)


def test_the_bundle_has_a_probe_of_training_rows_that_it_predicts_as_in_training(
    trained: ModelVersionRecord, trained_workspace: Workspace
) -> None:
    probe = read_probe(trained.bundle_uri)
    assert probe is not None
    table = load_version(trained_workspace, DatasetTable.of(spec_of("first"), trained_workspace).resolve("v1"))
    data = prepare(spec_of("first"), table)
    np.testing.assert_array_equal(np.unique(probe.matrix, axis=0), np.unique(data.train.x, axis=0))
    assert probe.tolerance == 1e-6
    assert probe.mismatch(load_bundle(trained.bundle_uri).predict(probe.matrix)) is None


def test_the_reference_profile_has_the_training_rows_and_the_holdout_predictions(
    trained: ModelVersionRecord,
) -> None:
    reference = load_bundle(trained.bundle_uri).reference
    *features, prediction = reference.features
    assert [f.name for f in features] == ["tenure", "charges", "autopay", "plan"]
    assert prediction.name == "prediction"
    assert reference.rows + sum(prediction.counts) == 585


def test_mlflow_loads_the_version_and_predicts_as_the_bundle_does(
    trained: ModelVersionRecord, trained_workspace: Workspace
) -> None:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(trained_workspace.tracking)
    try:
        model = mlflow.pyfunc.load_model(f"models:/first/{trained.version}")
    finally:
        mlflow.set_tracking_uri(before)
    rows = churn_table().select(["tenure", "charges", "autopay", "plan"]).slice(0, 20)
    bundle = load_bundle(trained.bundle_uri)
    expected = bundle.predict(encode(bundle.signature, rows))
    np.testing.assert_allclose(model.predict(rows.to_pandas()), expected, atol=1e-12)


@pytest.mark.slow
def test_a_second_version_is_held_against_the_champion_on_the_same_rows(trained_workspace: Workspace) -> None:
    spec = spec_of("second", gates=GATES, train={"trials": 1})
    first = run(spec, trained_workspace)
    make_champion(Store(trained_workspace.store), first)
    second = run(spec, trained_workspace)
    [_, comparison] = second.gates["results"]
    assert second.gates["champion_metrics"] == dict(first.metrics)
    assert (comparison["kind"], comparison["value"]) == ("not_worse_by", 0.0)
    assert second.version == first.version + 1
    assert second.digest != first.digest  # the card names the champion
    assert (
        load_bundle(second.bundle_uri).manifest.files["model.lgb.txt"]
        == (load_bundle(first.bundle_uri).manifest.files["model.lgb.txt"])
    )


def test_a_version_that_its_gates_refuse_is_registered_with_that_verdict(trained_workspace: Workspace) -> None:
    refused = run(spec_of("refused", gates=[{"metric": "auc", "min": 0.999}], train={"trials": 1}), trained_workspace)
    assert (refused.verdict, refused.stage) == ("FAIL", Stage.CANDIDATE)


def test_a_version_keeps_what_its_holdout_lets_expect(trained: ModelVersionRecord) -> None:
    facts = HoldoutFacts.from_json(trained.training["holdout"])
    assert facts.error == pytest.approx(1 - trained.metrics["accuracy"])
    assert facts.error < facts.error_bound() < 1
    assert facts.calibration is not None
    assert sum(facts.labels.counts) > facts.rows


def test_a_limit_of_fairness_is_a_gate(trained_workspace: Workspace) -> None:
    fairness = [
        {"attribute": "tenure", "bins": [36], "metric": "demographic_parity_difference", "max": 0.05, "min_rows": 20},
        {"attribute": "autopay", "metric": "demographic_parity_ratio", "min": 0.01, "min_rows": 20},
        {"attribute": "plan", "metric": "equalized_odds_difference", "max": 0.5, "gate": False},
    ]
    found = run(spec_of("unfair", fairness=fairness, train={"trials": 1}), trained_workspace)
    results = {result["metric"]: result["verdict"] for result in found.gates["results"]}
    assert results == {"demographic_parity_difference(tenure)": "FAIL", "demographic_parity_ratio(autopay)": "PASS"}
    assert found.verdict == "FAIL"


def test_a_users_own_trainer_is_used(trained_workspace: Workspace) -> None:
    train = {"trainer": "tests.train.test_trainers:own", "trials": 1, "space": {"num_leaves": 4}}
    record = run(spec_of("own", train=train), trained_workspace)
    assert "[num_leaves: 4]" in (Path(record.bundle_uri.removeprefix("file://")) / "model.lgb.txt").read_text()


@pytest.mark.slow
def test_the_torch_trainer_gives_a_bundle_that_predicts(trained_workspace: Workspace) -> None:
    train = {"trainer": "torch", "trials": 1, "max_iterations": 4, "space": {"hidden": 16, "learning_rate": 0.01}}
    record = run(spec_of("net", train=train), trained_workspace)
    bundle = load_bundle(record.bundle_uri)
    assert bundle.manifest.flavor == "torch"
    assert record.metrics["auc"] > 0.5


def test_a_trainer_that_counts_too_far_still_gives_its_model(trained_workspace: Workspace) -> None:
    train = {"trainer": "tests.train.test_trainers:overlong", "trials": 1, "space": {}}
    assert run(spec_of("overlong", train=train), trained_workspace).metrics["auc"] > 0.5


def test_a_trainer_that_does_not_report_the_metric_is_told_so(trained_workspace: Workspace) -> None:
    train = {"trainer": "tests.train.test_trainers:silent", "trials": 1, "space": {}}
    with pytest.raises(TrainError, match="a trainer has to report 'auc', found loss"):
        run(spec_of("silent", train=train), trained_workspace)


def test_a_trainer_that_always_fails_ends_the_training_with_its_error_and_no_version(
    trained_workspace: Workspace, client: mlflow.MlflowClient
) -> None:
    train = {"trainer": "tests.train.test_trainers:failing", "trials": 2, "space": {}}
    before = state_of(trained_workspace)
    with pytest.raises(TrainError, match=r"none of 2 trials came to its end; .*no such table in binary"):
        run(spec_of("failing", train=train), trained_workspace)
    assert state_of(trained_workspace) == before
    runs = client.search_runs([client.get_experiment_by_name("failing").experiment_id])
    assert [r.info.status for r in runs] == ["FAILED"] * 3
    assert {r.data.tags.get("mlops_ray.error") for r in runs} == {None, "KeyError: 'no such table in binary'"}


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"trainer": "no_such_package:train"}, "cannot import no_such_package"),
        ({"space": {"num_leavez": 3}}, "'num_leavez' is no parameter of LightGBM"),
        ({"space": {"num_leaves": {"uniform": [3, 1]}}}, "expected the smaller number first"),
    ],
)
def test_a_training_that_cannot_work_starts_nothing(
    train: dict[str, Any], message: str, trained_workspace: Workspace, client: mlflow.MlflowClient
) -> None:
    before = state_of(trained_workspace)
    with pytest.raises(TrainError, match=message):
        run(spec_of("impossible", train=train), trained_workspace)
    assert state_of(trained_workspace) == before
    assert client.get_experiment_by_name("impossible") is None


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("churned", pa.array([1] * 600), "expected both classes, found only 1"),
        ("charges", pa.nulls(600, pa.float64()), "feature 'charges': expected values, found null in all"),
    ],
)
def test_data_that_cannot_be_trained_on_starts_no_trial(
    column: str,
    values: pa.Array,
    message: str,
    trained_workspace: Workspace,
    tmp_path: Path,
) -> None:
    table = churn_table()
    table = table.set_column(table.column_names.index(column), column, values)
    pq.write_table(table, tmp_path / "1.parquet")
    loose = {"tenure": "int", "charges": {"type": "float", "max_null_share": 1}, "autopay": "bool", "plan": "category"}
    name = f"bad_{column}"
    spec = spec_of(name, data={"source": str(tmp_path), "table": f"tests.{name}", "features": loose})
    ingest(spec, trained_workspace, now_s=2.0, run_id=name)
    with pytest.raises(ValidationError, match=message):
        run(spec, trained_workspace)
    assert mlflow.MlflowClient(trained_workspace.tracking).get_experiment_by_name(name) is None
    assert Store(trained_workspace.store).model_versions(name) == []


def test_an_unreachable_mlflow_is_named_and_leaves_no_state(trained_workspace: Workspace) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    workspace = trained_workspace.model_copy(update={"tracking": f"http://127.0.0.1:{port}"})
    before = state_of(trained_workspace)
    with pytest.raises(TrackingError, match=f"MLflow at http://127.0.0.1:{port}: no answer"):
        run(spec_of("unreachable"), workspace)
    assert state_of(trained_workspace) == before


def test_progress_tells_of_the_rows_the_trials_and_the_gates(trained_workspace: Workspace) -> None:
    said: list[str] = []
    run(spec_of("talking", gates=GATES, train={"trials": 2}), trained_workspace, said=said)
    assert "15 left out without a label" in said[0]
    assert [line.split(":")[0] for line in said[1:3]] == ["trial 1 of 2 completed", "trial 2 of 2 completed"] or (
        {line.split(" ")[1] for line in said[1:3]} == {"1", "2"}
    )
    assert said[3].startswith("gates PASS: auc is")
