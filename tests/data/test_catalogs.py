"""The same ingest on every kind of catalog."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from mlops_ray.data import DatasetTable, ingest, load_version
from mlops_ray.data.catalog import catalog_properties, open_catalog
from mlops_ray.data.listing import s3_client
from mlops_ray.errors import DataError
from mlops_ray.lake import Lake, S3Connection
from mlops_ray.spec import Workspace, without_password
from tests.data.batches import spec_of, table_of, write
from tests.data.rest_catalog import TOKEN, rest_catalog
from tests.store.postgresql import new_database, postgresql_server

ROOT = Path(__file__).parents[2]
_INGEST = """
import sys, ray
from mlops_ray.data import ingest
from mlops_ray.spec import Workspace
from tests.data.batches import spec_of
ray.init(address=sys.argv[1], log_to_driver=False)
workspace = Workspace.at(sys.argv[2], catalog=sys.argv[3])
print(ingest(spec_of(sys.argv[4]), workspace, now_s=0, run_id=sys.argv[5]).version.number)
"""


@pytest.fixture
def rest(tmp_path: Path) -> Iterator[str]:
    with rest_catalog(tmp_path) as url:
        yield url


def two_batches(workspace: Workspace, raw: Path) -> None:
    """Create, append, read, and find nothing new."""
    write(raw, "a.parquet", table_of(30))
    first = ingest(spec_of(raw), workspace, now_s=0, run_id="1").version
    write(raw, "b.parquet", table_of(20, first=30))
    second = ingest(spec_of(raw), workspace, now_s=1, run_id="2").version
    assert ingest(spec_of(raw), workspace, now_s=2, run_id="3").committed is False
    assert [load_version(workspace, version).num_rows for version in (first, second)] == [30, 50]
    assert DatasetTable.of(spec_of(raw), workspace).versions() == [first, second]


def test_two_batches_through_a_rest_catalog(rest: str, tmp_path: Path, ray_cluster: str) -> None:
    two_batches(Workspace.at(tmp_path / "home", catalog=rest), tmp_path / "raw")


def test_two_batches_through_glue(s3: str, tmp_path: Path, ray_cluster: str) -> None:
    bucket = f"glue-{uuid.uuid4().hex[:8]}"
    s3_client(S3Connection.of(os.environ)).create_bucket(Bucket=bucket)
    workspace = Workspace.at(tmp_path / "home", catalog="glue://us-east-1", lake=f"s3://{bucket}/lake")
    two_batches(workspace, tmp_path / "raw")
    names = [table["Name"] for table in boto3.client("glue").get_tables(DatabaseName="mlops")["TableList"]]
    assert names == ["churn"]


def test_two_processes_ingest_at_once_into_a_catalog_in_postgresql(tmp_path: Path, ray_cluster: str) -> None:
    with postgresql_server() as server:
        url = new_database(server, "catalog")
        workspace = Workspace.at(tmp_path / "home", catalog=url)
        processes: list[subprocess.Popen[bytes]] = []
        for name, rows in (("one", 40), ("two", 25)):
            write(tmp_path / name, f"{name}.parquet", table_of(rows, first=len(processes) * 100))
            arguments = [ray_cluster, workspace.home, url, str(tmp_path / name), name]
            command = [sys.executable, "-c", _INGEST, *arguments]
            processes.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        outputs = [process.communicate(timeout=120) for process in processes]
        assert [process.returncode for process in processes] == [0, 0], outputs
        assert sorted(int(out.split()[-1]) for out, _ in outputs) == [1, 2]
        version = DatasetTable.of(spec_of(tmp_path), workspace).resolve("latest")
        assert (version.number, version.rows, load_version(workspace, version).num_rows) == (2, 65, 65)


def test_a_rest_catalog_gets_its_properties_from_the_url() -> None:
    url = "rest+https://catalog.example.org/iceberg?warehouse=main&token=t&scope=PRINCIPAL_ROLE:ALL"
    properties = catalog_properties(url, Lake("/tmp/lake"))
    assert properties == {
        "type": "rest",
        "uri": "https://catalog.example.org/iceberg",
        "warehouse": "main",
        "token": "t",
        "scope": "PRINCIPAL_ROLE:ALL",
        "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
    }


def test_glue_takes_region_and_keys_from_url_and_environment(s3: str) -> None:
    properties = catalog_properties("glue://eu-west-1", Lake("s3://bucket/lake"))
    expected = {
        "type": "glue",
        "glue.region": "eu-west-1",
        "glue.endpoint": s3,
        "warehouse": "s3://bucket/lake/warehouse",
    }
    assert properties.items() >= expected.items()
    assert catalog_properties("glue://", Lake("s3://bucket/lake"))["glue.region"] == "us-east-1"


def test_a_catalog_that_refuses_is_named_without_its_secrets(rest: str, tmp_path: Path) -> None:
    wrong = rest.replace(TOKEN, "another")
    with pytest.raises(DataError, match=r"catalog rest\+http://127\.0\.0\.1:\d+\?token=\*\*\*: expected") as refused:
        open_catalog(wrong, Lake(str(tmp_path)))
    assert "another" not in str(refused.value)


def test_a_catalog_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"catalog rest\+http://127\.0\.0\.1:9: expected an Iceberg catalog that answers"
    ):
        open_catalog("rest+http://127.0.0.1:9", Lake(str(tmp_path)))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rest+https://h/p?token=abc&warehouse=w", "rest+https://h/p?token=***&warehouse=w"),
        ("rest+https://h?credential=me:pw", "rest+https://h?credential=***"),
        ("postgresql://me:pw@h/db?password=x", "postgresql://me:***@h/db?password=***"),
        ("glue://eu-west-1", "glue://eu-west-1"),
    ],
)
def test_secrets_of_a_url_are_not_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown
