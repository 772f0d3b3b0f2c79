"""The golden set: read in the types of the table, seen by no trial, gated besides the holdout."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_ray.errors import SchemaError, ValidationError
from mlops_ray.evaluation import evaluate_gates, scores, with_golden
from mlops_ray.model import encode, load_bundle
from mlops_ray.spec import Gate, ModelSpec, Workspace, load_spec
from mlops_ray.train import run_training
from mlops_ray.train.golden import load_golden
from mlops_ray.train.training_data import add_golden, prepare
from mlops_ray.verdict import Verdict
from tests.train.conftest import CODE, churn_table, spec_of

Y = np.repeat([0.0, 1.0], 200)
GOOD, BAD = 0.2 + 0.6 * Y, 0.8 - 0.6 * Y


def golden_spec(where: Path) -> ModelSpec:
    return spec_of(retrain={"golden": str(where)}, gates=[{"metric": "auc", "min": 0.6, "on": "golden"}])


def written(folder: Path, table: pa.Table) -> Path:
    pq.write_table(table, folder / "golden.parquet")
    return folder / "golden.parquet"


def test_gates_look_at_their_own_rows_and_both_have_to_pass() -> None:
    gates = [Gate(metric="auc", min=0.7), Gate(metric="auc", min=0.7, on="golden")]
    holdout = evaluate_gates(gates, "binary", Y, GOOD, None, seed=0)
    assert (holdout.verdict, len(holdout.results), holdout.golden_metrics) == (Verdict.PASS, 1, None)
    both = with_golden(holdout, gates=gates, task="binary", labels=Y, candidate=BAD, champion=None, seed=0)
    assert both.verdict is Verdict.FAIL
    assert [(r.on, r.verdict.value) for r in both.results] == [("holdout", "PASS"), ("golden", "FAIL")]
    assert both.results[1].message == "golden set: auc is 0, needs at least 0.7"
    assert both.metrics == holdout.metrics
    assert type(both).from_json(both.to_json()) == both


def test_a_report_from_before_there_was_a_golden_set_is_still_read() -> None:
    report = evaluate_gates([Gate(metric="auc", min=0.7)], "binary", Y, GOOD, None, seed=0)
    content = report.to_json()
    del content["golden_metrics"]
    for result in content["results"]:
        del result["on"]
    assert type(report).from_json(content) == report


def test_a_gate_on_a_golden_set_that_is_not_named_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gates\[0\] is on the golden set, but retrain.golden names none"):
        spec_of(gates=[{"metric": "auc", "min": 0.7, "on": "golden"}])


def test_its_path_is_relative_to_the_spec(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        "name: m\ndata: {source: raw, label: y, features: {a: float}}\nretrain: {golden: golden.parquet}\n"
        "gates: [{metric: auc, min: 0.7, on: golden}]\n"
    )
    assert load_spec(tmp_path / "m.yaml").retrain.golden == str(tmp_path / "golden.parquet")


def test_its_rows_have_the_types_of_the_table_and_labels(tmp_path: Path, workspace: Workspace) -> None:
    table = churn_table(200)
    spec = golden_spec(written(tmp_path, table.set_column(2, "tenure", table["tenure"].cast(pa.float64()))))
    rows = load_golden(spec, workspace)
    assert rows is not None
    assert rows.num_rows == 200 - table["churned"].null_count
    assert rows.schema.field("tenure").type == pa.int64()
    data = add_golden(spec, prepare(spec, churn_table()), rows)
    assert data.golden is not None
    assert data.golden.x.shape == (rows.num_rows, data.train.x.shape[1])
    assert load_golden(spec_of(), workspace) is None


def test_what_cannot_be_used_is_told_by_its_column(tmp_path: Path, workspace: Workspace) -> None:
    table = churn_table(200)
    with pytest.raises(SchemaError, match="column 'plan' is missing"):
        load_golden(golden_spec(written(tmp_path, table.drop_columns(["plan"]))), workspace)
    text = table.set_column(2, "tenure", pa.array(["x"] * 200))
    with pytest.raises(SchemaError, match="column 'tenure': expected int"):
        load_golden(golden_spec(written(tmp_path, text)), workspace)
    halves = table.set_column(2, "tenure", pa.array([0.5] * 200))
    with pytest.raises(ValidationError, match="column 'tenure': 200 values are not a whole number"):
        load_golden(golden_spec(written(tmp_path, halves)), workspace)
    with pytest.raises(ValidationError, match="expected Parquet that can be read"):
        load_golden(golden_spec(tmp_path / "nowhere.parquet"), workspace)
    unknown = table.set_column(6, "churned", pa.nulls(200, pa.int64()))
    with pytest.raises(ValidationError, match="expected rows with a label, found none"):
        load_golden(golden_spec(written(tmp_path, unknown)), workspace)


@pytest.mark.slow
def test_a_training_is_gated_on_holdout_and_golden_set(tmp_path: Path, trained_workspace: Workspace) -> None:
    golden = churn_table(300)
    wrong = pa.array([None if v is None else 1 - v for v in golden["churned"].to_pylist()])
    file = written(tmp_path, golden.set_column(6, "churned", wrong))
    gates = [{"metric": "auc", "min": 0.6}, {"metric": "auc", "min": 0.6, "on": "golden"}]
    spec = spec_of("golden", gates=gates, retrain={"golden": str(file)})
    record = run_training(
        spec, trained_workspace, actor="test", clock=lambda: 1.8e9, code=CODE, progress=lambda _: None
    )
    assert record.verdict == "FAIL"
    assert [(r["on"], r["verdict"]) for r in record.gates["results"]] == [("holdout", "PASS"), ("golden", "FAIL")]
    bundle, rows = load_bundle(record.bundle_uri), load_golden(spec, trained_workspace)
    assert rows is not None
    labels = rows["churned"].to_numpy().astype(np.float64)
    expected = scores("binary", labels, bundle.predict(encode(bundle.signature, rows)))
    assert record.gates["golden_metrics"]["auc"] == pytest.approx(expected["auc"])
