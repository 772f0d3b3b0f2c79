"""Real customers go the way of a user's own data: Parquet, a short spec, three commands and an HTTP request."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import requests

from mlops_ray.spec import Workspace
from mlops_ray.store import Store
from tests.cli.command import mlops_ray
from tests.e2e.toy import Toy

pytestmark = pytest.mark.slow

SPEC = Path(__file__).with_name("telco.yaml")
CUSTOMERS = Path(__file__).parents[3] / "shared" / "data" / "telco-churn" / "telco-customer-churn.csv"
YES_NO = ("Partner", "Dependents", "PhoneService", "PaperlessBilling")


@pytest.fixture
def folder(tmp_path: Path, live: Workspace) -> Iterator[Path]:
    """A folder with the spec and the customers; the model is taken away at the end."""
    if not CUSTOMERS.exists():
        pytest.skip(f"the data is not here: {CUSTOMERS}")
    shutil.copy(SPEC, tmp_path)
    (tmp_path / "telco").mkdir()
    pq.write_table(_customers(), tmp_path / "telco" / "customers.parquet")
    yield tmp_path
    if Store(live.store).route("telco") is not None:
        Toy(live, "telco").retire()


def _customers() -> pa.Table:
    """The CSV with the types its columns have; a blank in TotalCharges is null."""
    blanks = pyarrow.csv.ConvertOptions(null_values=[" "], column_types={"TotalCharges": pa.float64()})
    table = pyarrow.csv.read_csv(CUSTOMERS, convert_options=blanks)
    for name in YES_NO:
        table = _replaced(table, name, pc.equal(table[name], "Yes"))
    table = _replaced(table, "SeniorCitizen", pc.equal(table["SeniorCitizen"], 1))
    churned = pc.cast(pc.equal(table["Churn"], "Yes"), pa.int64())
    return table.drop_columns(["Churn"]).append_column("churned", churned)


def _replaced(table: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def test_the_spec_is_short() -> None:
    assert len(SPEC.read_text().splitlines()) <= 60


def test_real_customers_become_a_model_that_answers_over_http(folder: Path, live: Workspace) -> None:
    ingested = mlops_ray("ingest", "telco.yaml", cwd=folder, home=live.home)
    assert ingested.code == 0, ingested.err
    assert ingested.answer["version"]["rows"] == 7043
    assert ingested.answer["version"]["quarantined_rows"] == 0

    trained = mlops_ray("train", "telco.yaml", cwd=folder, home=live.home, timeout_s=180)
    assert trained.code == 0, trained.err
    assert trained.answer["verdict"] == "PASS"
    assert trained.answer["dataset"] == ingested.answer["dataset"]
    assert trained.answer["metrics"]["auc"] >= 0.84

    deployed = mlops_ray("deploy", "telco.yaml", cwd=folder, home=live.home)
    assert deployed.code == 0, deployed.err
    assert deployed.answer["phase"] == "COMPLETED"

    # A customer of the first month, who has no total yet, and one of long standing.
    records = _customers().drop_columns(["customerID", "churned"]).filter(pc.field("tenure") < 1).slice(0, 1)
    loyal = _customers().drop_columns(["customerID", "churned"]).filter(pc.field("tenure") > 70).slice(0, 1)
    body = {"records": [*records.to_pylist(), *loyal.to_pylist()], "request_id": "telco-1"}
    response = requests.post(f"{live.serve}/v2/models/telco/predict", json=body, timeout=30)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["request_id"], answer["model_version"], answer["role"]) == ("telco-1", "1", "champion")
    assert all(0 < prediction["score"] < 1 for prediction in answer["predictions"])
