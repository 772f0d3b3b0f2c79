"""What is different between two versions: real rows, real tables, the judge that watches served traffic."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.data import DatasetTable, create_ref, diff_versions, ingest
from mlops_ray.data import column_drift as module
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.verdict import Verdict
from tests.data.batches import spec_of, table_of, write

pytestmark = pytest.mark.usefixtures("ray_cluster")
ROWS = 3000


def customers(seed: int, *, older_by: float = 0.0, pro: float = 0.3, unknown_income: float = 0.1) -> pa.Table:
    """Customers of one world, moved where a keyword says so."""
    generator = np.random.default_rng(seed)
    income: list[Any] = generator.lognormal(10, 0.5, ROWS).tolist()
    for place in np.flatnonzero(generator.random(ROWS) < unknown_income):
        income[place] = None
    return table_of(
        ROWS,
        first=seed * ROWS,
        age=np.clip(generator.normal(45 + older_by, 12, ROWS), 0, 120),
        visits=generator.poisson(3, ROWS),
        active=generator.random(ROWS) < 0.5,
        plan=np.where(generator.random(ROWS) < pro, "pro", "free"),
        income=income,
        churned=(generator.random(ROWS) < 0.2).astype(np.int64),
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, ray_cluster: str) -> tuple[Workspace, ModelSpec]:
    """v1 and v2 of one world, v3 with older customers on other plans; on the branch `nulls`, from v1, fewer incomes."""
    folder = tmp_path_factory.mktemp("diff")
    workspace, spec = Workspace.at(folder / "home"), spec_of(folder / "raw")
    dataset = DatasetTable.of(spec, workspace)
    batches = [customers(0), customers(1), customers(2, older_by=12, pro=0.6)]
    for number, batch in enumerate(batches):
        write(folder / "raw", f"{number}.parquet", batch)
        ingest(spec, workspace, now_s=number, run_id=str(number))
    create_ref(dataset, "branch", "nulls", "v1")
    write(folder / "other", "nulls.parquet", customers(3, unknown_income=0.6))
    ingest(spec_of(folder / "other"), workspace, now_s=9, run_id="nulls", branch="nulls")
    return workspace, spec


def dataset_of(home: tuple[Workspace, ModelSpec]) -> DatasetTable:
    return DatasetTable.of(home[1], home[0])


def test_a_batch_of_the_same_world_names_no_column(home: tuple[Workspace, ModelSpec]) -> None:
    dataset = dataset_of(home)
    found = diff_versions(dataset, dataset.resolve("v1"), dataset.resolve("v2"))
    assert (found.added_rows, found.removed_rows, found.exact, found.compared) == (ROWS, 0, True, "added")
    assert found.drift.report.drifted == ()
    assert found.drift.report.verdict is Verdict.PASS
    assert {feature.name for feature in found.drift.report.features} == {
        "age",
        "visits",
        "active",
        "plan",
        "income",
        "churned",
    }
    assert dict(found.drift.left_out) == {
        "customer": "names rows: 3,000 different values in 3,000",
        "day": "of type timestamptz",
    }


def test_a_batch_of_another_world_names_exactly_the_columns_that_moved(home: tuple[Workspace, ModelSpec]) -> None:
    dataset = dataset_of(home)
    found = diff_versions(dataset, dataset.resolve("v2"), dataset.resolve("v3"))
    assert set(found.drift.report.drifted) == {"age", "plan"}
    assert found.drift.report.rows == ROWS


def test_a_version_compared_with_itself_differs_in_nothing(home: tuple[Workspace, ModelSpec]) -> None:
    dataset = dataset_of(home)
    version = dataset.resolve("v3")
    found = diff_versions(dataset, version, version)
    assert (found.added_rows, found.removed_rows, found.exact, found.compared) == (0, 0, True, "all")
    assert (found.columns_added, found.columns_removed, found.columns_changed) == ({}, {}, {})
    assert found.drift.report.drifted == ()


def test_two_lines_are_told_by_the_files_that_differ(home: tuple[Workspace, ModelSpec]) -> None:
    dataset = dataset_of(home)
    found = diff_versions(dataset, dataset.resolve("v2"), dataset.resolve("nulls"))
    assert (found.added_rows, found.removed_rows, found.exact) == (ROWS, ROWS, False)
    assert found.drift.report.drifted == ("income",)


def test_columns_that_come_go_and_change_are_named(home: tuple[Workspace, ModelSpec]) -> None:
    dataset = dataset_of(home)
    a = dataset.resolve("v1")
    schema = {name: kind for name, kind in a.schema.items() if name != "plan"}
    b = replace(dataset.resolve("v2"), schema=schema | {"age": "string", "extra": "long"})
    found = diff_versions(dataset, a, b)
    assert found.columns_added == {"extra": "long"}
    assert found.columns_removed == {"plan": "string"}
    assert found.columns_changed == {"age": ("double", "string")}
    assert {"age", "plan", "extra"} & {feature.name for feature in found.drift.report.features} == set()


def test_bins_from_a_sample_count_every_row(home: tuple[Workspace, ModelSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SAMPLE_ROWS", 1000)
    dataset = dataset_of(home)
    found = diff_versions(dataset, dataset.resolve("v2"), dataset.resolve("v3"))
    assert set(found.drift.report.drifted) == {"age", "plan"}


def test_few_rows_are_no_evidence(tmp_path: Path, workspace: Workspace) -> None:
    spec = spec_of(tmp_path / "raw")
    write(tmp_path / "raw", "a.parquet", table_of(30))
    version = ingest(spec, workspace, now_s=0, run_id="a").version
    found = diff_versions(DatasetTable.of(spec, workspace), version, version)
    assert found.drift.report.verdict is Verdict.INCONCLUSIVE
    assert "a judgement needs 100 of each" in found.drift.report.message
