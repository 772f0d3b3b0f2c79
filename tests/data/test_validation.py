"""Validation as a whole, on a real Ray and a real catalog: what is kept with a version, and why one is refused."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from mlops_ray.data import DatasetTable, IngestResult, ValidationReport, ingest, read_report
from mlops_ray.data.baseline import Baseline
from mlops_ray.data.checks import refusal
from mlops_ray.data.column import columns_of
from mlops_ray.data.report_page import page
from mlops_ray.data.rules import check_rows
from mlops_ray.data.statistics import BatchCounter
from mlops_ray.data.validation import validate
from mlops_ray.data.version_statistics import VersionStatistics
from mlops_ray.errors import SchemaError, UnknownVersionError, ValidationError
from mlops_ray.lake import Lake
from mlops_ray.spec import Workspace, parse_spec
from mlops_ray.verdict import Verdict
from tests.data.batches import spec_of, table_of, write

pytestmark = pytest.mark.usefixtures("ray_cluster")
NOW_S = 1_704_100_000.0  # 2024-01-01 09:06:40, when 9 rows of `table_of` are in the past


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw"


def run(raw: Path, workspace: Workspace, **changes: Any) -> IngestResult:
    return ingest(spec_of(raw, **changes), workspace, now_s=NOW_S, run_id="run")


def test_a_version_has_a_report_with_rules_columns_and_the_version_before(raw: Path, workspace: Workspace) -> None:
    write(raw, "a.parquet", table_of(300, age=[200.0] + [20.0 + i % 60 for i in range(299)]))
    first = run(raw, workspace).version
    write(raw, "b.parquet", table_of(100, first=300))
    second = run(raw, workspace).version
    report = read_report(workspace, first)
    result = {r.rule: r for r in report.results}["age.max"]
    assert (result.verdict, result.severity, result.rows, result.examples) == (
        Verdict.FAIL,
        "quarantine",
        1,
        ("200.0",),
    )
    assert (report.rows, report.good_rows, report.files, report.committed) == (300, 299, 1, True)
    assert report.quarantine_uri == first.quarantine_uri
    age = report.columns["age"]
    assert (age["rows"], age["nulls"], age["min"], age["max"], age["distinct"]) == (299, 0, 20.0, 79.0, 60)
    assert sum(age["histogram"]["shares"]) == pytest.approx(1)
    assert report.columns["plan"]["top"][0] == ["pro", 150]
    later = read_report(workspace, second)
    assert [past.ref for past in later.history] == ["mlops.churn@v1"]
    assert later.previous == report.columns
    assert later.drift is not None
    uri = str(second.report_uri)
    page = Path(Lake(uri).root).read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "age.max" in page
    assert "mlops.churn@v1" in page


def test_a_refused_batch_leaves_a_report_beside_its_bad_rows(raw: Path, workspace: Workspace) -> None:
    write(raw, "a.parquet", table_of(10, plan=["<b>gold</b>"] + ["free"] * 9))
    features = {"plan": {"type": "category", "categories": ["free", "pro"], "severity": "block"}}
    with pytest.raises(
        ValidationError, match=r"rule plan\.categories: broken by 1 of 10 rows, .*; report: file://"
    ) as e:
        run(raw, workspace, features=features)
    page = Path(Lake(str(e.value).partition("report: ")[2]).root)
    assert "&lt;b&gt;gold&lt;/b&gt;" in page.read_text(encoding="utf-8")
    assert "<b>gold" not in page.read_text(encoding="utf-8")
    assert ds.dataset(page.parent).to_table()["plan"].to_pylist() == ["<b>gold</b>"]
    assert DatasetTable.of(spec_of(raw), workspace).versions() == []
    assert [f for f in Lake(workspace.lake).list("") if not f.startswith("quarantine/")] == []


def test_a_rule_that_warns_keeps_its_rows_and_tells(raw: Path, workspace: Workspace) -> None:
    write(raw, "a.parquet", table_of(10, age=[200.0] + [20.0] * 9))
    result = run(raw, workspace, features={"age": {"type": "float", "max": 120, "severity": "warn"}})
    assert (result.version.rows, result.version.quarantined_rows) == (10, 0)
    assert result.warnings == ("rule age.max: broken by 1 of 10 rows, such as '200.0'",)
    assert read_report(workspace, result.version).warnings == result.warnings


def test_values_that_no_other_dataset_has_are_quarantined(raw: Path, workspace: Workspace, tmp_path: Path) -> None:
    plans = tmp_path / "plans"
    write(plans, "p.parquet", pa.table({"price": [1.0, 2.0], "id": ["free", "pro"], "y": [0, 1]}))
    data = {"source": str(plans), "label": "y", "features": {"price": "float", "id": "category"}}
    ingest(parse_spec(str({"name": "plans", "data": data})), workspace, now_s=0, run_id="p")
    write(raw, "a.parquet", table_of(10, plan=["gold"] + ["free"] * 9))
    key = {"column": "plan", "dataset": "mlops.plans@latest", "key": "id"}
    result = run(raw, workspace, features={"plan": "category"}, checks={"foreign_keys": [key]})
    assert result.reasons == {"plan: not in mlops.plans@v1.id": 1}
    assert result.version.rows == 9
    write(raw, "b.parquet", table_of(5, first=10))
    for wrong, error in (
        ({"key": "no"}, SchemaError),
        ({"dataset": "mlops.none@latest"}, UnknownVersionError),
        ({"column": "visits"}, SchemaError),
    ):
        with pytest.raises(error):
            run(raw, workspace, features={"plan": "category"}, checks={"foreign_keys": [key | wrong]})


def test_the_second_batch_is_held_against_the_first(raw: Path, workspace: Workspace) -> None:
    """Row count, age, distribution, duplicates and keys of the whole table, one after the other."""
    write(raw, "a.parquet", table_of(300))
    run(raw, workspace)
    drifted = table_of(300, first=300, age=[100.0 + i % 10 for i in range(300)])
    write(raw, "b.parquet", drifted)
    checks: list[tuple[dict[str, Any], str]] = [
        ({"row_change": [1.5, 3]}, r"found 300 \(1\.00 times\)"),
        ({"distribution": {}}, r"against mlops\.churn@v1 .*: 2 of 5 features drifted over 300 rows: age .*, income"),
    ]
    for changes, message in checks:
        with pytest.raises(ValidationError, match=message):
            run(raw, workspace, checks=changes)
    write(raw, "b.parquet", pa.concat_tables([table_of(5, first=298)]))
    unique = {"unique": ["customer"]}
    with pytest.raises(ValidationError, match=r"each row of the table once .*, found 2 of 5 rows"):
        run(raw, workspace, checks={**unique, "unique_in": "table"})
    assert run(raw, workspace, checks=unique).version.rows == 305


def test_a_batch_that_is_old_leaks_the_label_and_repeats_itself_is_told_so(raw: Path, workspace: Workspace) -> None:
    table = table_of(90, visits=[int(i % 3 == 0) for i in range(90)])
    write(raw, "a.parquet", pa.concat_tables([table, table.slice(0, 10)]))
    checks = {"max_age_s": 60, "max_leakage": 0.99, "max_duplicate_share": 0.05, "severity": "warn"}
    later = ingest(spec_of(raw, checks=checks), workspace, now_s=NOW_S + 10**6, run_id="r")
    assert [w.rpartition("found ")[2] for w in later.warnings] == ["712,400 s", "10.00%", "visits 1.000"]


def test_a_pattern_that_re2_does_not_know_is_refused_before_anything_is_read(raw: Path, workspace: Workspace) -> None:
    with pytest.raises(SchemaError, match=r"feature 'plan': expected a regex that RE2 knows, found 'a\{2000\}'"):
        run(raw, workspace, features={"plan": {"type": "category", "regex": "a{2000}"}})


def test_the_largest_numbers_there_are_have_statistics_too() -> None:
    spec = spec_of("/raw", features={"age": "float"})
    columns = columns_of(spec)
    counter = BatchCounter(columns, seed=0)
    table = table_of(200, age=[1.7e308, -1.7e308] * 100, income=[None] * 200)
    counter.add(check_rows(table, columns, source="x"), 200)
    first = validate(spec, counter.result(), Baseline(), repeated=0, now_s=0)
    again = VersionStatistics.from_json(first.statistics.to_json())
    assert again == first.statistics
    assert again.columns["age"]["max"] == 1e150
    assert "max" not in again.columns["income"]
    later = validate(spec, counter.result(), Baseline(statistics=again), repeated=0, now_s=0)
    assert later.evidence.drift is not None
    assert later.evidence.drift.verdict is Verdict.PASS


def test_a_batch_without_a_good_row_is_judged() -> None:
    columns = columns_of(spec_of("/raw"))
    counter = BatchCounter(columns, seed=0)
    counter.add(check_rows(table_of(3, age=[-1.0] * 3), columns, source="x"), 3)
    batch = counter.result()
    judged = validate(spec_of("/raw"), batch, Baseline(), repeated=0, now_s=0)
    assert "found 3 of 3" in str(refusal(judged.results))
    report = judged.report(spec_of("/raw"), batch, Baseline(), run_id="r", files=1, quarantine="file:///q")
    assert ValidationReport.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False))) == report
    assert "refused" in page(report.to_json())


def test_rules_of_a_column_are_those_of_its_feature() -> None:
    spec = spec_of("/raw", features={"plan": {"type": "category", "regex": "^f", "severity": {"regex": "warn"}}})
    column = next(c for c in columns_of(spec) if c.name == "plan")
    assert (column.regex, column.severity_of("regex"), column.severity_of("null")) == ("^f", "warn", "quarantine")
