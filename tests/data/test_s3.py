"""The same on S3: raw files and lake in buckets, versions of objects pinned."""

import io
import os
import time
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_ray.data import (
    DatasetTable,
    find_leftovers,
    ingest,
    load_version,
    open_catalog,
    remove_leftovers,
    verify_version,
)
from mlops_ray.data.listing import list_sources, s3_client
from mlops_ray.data.pinned_file import open_pinned
from mlops_ray.errors import SourceError
from mlops_ray.lake import Lake, S3Connection
from mlops_ray.spec import Workspace
from tests.data.batches import spec_of, table_of


@pytest.fixture
def client(s3: str) -> Any:
    return s3_client(S3Connection.of(os.environ))


@pytest.fixture
def bucket(client: Any) -> str:
    """A versioned bucket."""
    name = f"raw-{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=name)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


@pytest.fixture
def plain_bucket(client: Any) -> str:
    name = f"plain-{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=name)
    return name


def put(client: Any, bucket: str, key: str, table: pa.Table, **options: Any) -> None:
    content = io.BytesIO()
    pq.write_table(table, content, **options)
    client.put_object(Bucket=bucket, Key=key, Body=content.getvalue())


def listed(uri: str) -> list[tuple[str, bool]]:
    return [(s.uri, s.version_id is not None) for s in list_sources(uri, S3Connection.of(os.environ))]


def test_a_version_from_s3_stays_the_same_when_the_object_is_overwritten(
    client: Any, bucket: str, plain_bucket: str, tmp_path: Path, ray_cluster: str
) -> None:
    workspace = Workspace.at(tmp_path, lake=f"s3://{plain_bucket}/lake")
    spec = spec_of(f"s3://{bucket}/churn")
    put(client, bucket, "churn/a.parquet", table_of(100, age=[200.0] + [20.0] * 99))
    first = ingest(spec, workspace, now_s=0, run_id="one")
    before = load_version(workspace, first.version)
    put(client, bucket, "churn/a.parquet", table_of(50, first=500))
    second = ingest(spec, workspace, now_s=1, run_id="two")
    assert (first.version.rows, first.version.quarantined_rows, second.version.rows) == (99, 1, 149)
    assert load_version(workspace, first.version).equals(before)
    old, new = first.version.sources + second.version.sources
    assert old.uri == new.uri == f"s3://{bucket}/churn/a.parquet"
    assert old.version_id is not None
    assert old.version_id != new.version_id
    assert ingest(spec, workspace, now_s=2, run_id="three").committed is False
    assert Lake(first.version.quarantine_uri or "").list("", ".parquet") != []
    assert DatasetTable.of(spec, workspace).versions() == [first.version, second.version]


def test_whatever_becomes_of_the_raw_objects_a_version_is_the_same_byte_by_byte(
    client: Any, bucket: str, plain_bucket: str, tmp_path: Path, ray_cluster: str
) -> None:
    workspace = Workspace.at(tmp_path, lake=f"s3://{plain_bucket}/lake")
    spec = spec_of(f"s3://{bucket}/churn")
    for number, name in enumerate("abc"):
        put(client, bucket, f"churn/{name}.parquet", table_of(50, first=50 * number), row_group_size=20)
    version = ingest(spec, workspace, now_s=0, run_id="one").version
    dataset = DatasetTable.of(spec, workspace)
    before = ipc_bytes(load_version(workspace, version))
    put(client, bucket, "churn/a.parquet", table_of(70, first=900))
    client.delete_object(Bucket=bucket, Key="churn/b.parquet")
    put(client, bucket, "churn/d.parquet", table_of(30, first=700))
    assert ipc_bytes(load_version(workspace, version)) == before
    later = ingest(spec, workspace, now_s=1, run_id="two").version
    assert (version.rows, later.rows) == (150, 250)
    assert ipc_bytes(load_version(workspace, dataset.resolve("v1"))) == before
    checked = verify_version(dataset, later)
    assert (checked.intact, checked.files, checked.unknown) == (True, 2, ())
    assert leftovers_of(workspace) == []


def ipc_bytes(table: pa.Table) -> bytes:
    """The rows as one stream of bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return bytes(sink.getvalue())


def leftovers_of(workspace: Workspace) -> list[str]:
    lake = Lake(workspace.lake)
    catalog = open_catalog(workspace.catalog, lake)
    return [item.path for item in find_leftovers(catalog, lake, older_than_s=0, now_s=time.time() + 60)]


def test_leftovers_on_s3_are_collected_and_the_version_is_whole(
    client: Any, bucket: str, plain_bucket: str, tmp_path: Path, ray_cluster: str
) -> None:
    workspace = Workspace.at(tmp_path, lake=f"s3://{plain_bucket}/lake")
    put(client, bucket, "a.parquet", table_of(100, age=[200.0] + [20.0] * 99))
    version = ingest(spec_of(f"s3://{bucket}"), workspace, now_s=0, run_id="one").version
    lake, before = Lake(workspace.lake), Lake(workspace.lake).list("")
    folder = f"warehouse/mlops/churn/data/{'ab' * 16}"
    lake.write_bytes(f"{folder}/1.parquet", b"1")
    lake.write_bytes(f"warehouse/mlops/churn/sources/{'ab' * 16}.json", b"1")
    catalog = open_catalog(workspace.catalog, lake)
    assert find_leftovers(catalog, lake, older_than_s=3600, now_s=time.time()) == []
    found = find_leftovers(catalog, lake, older_than_s=0, now_s=time.time() + 60)
    assert [item.path for item in found] == [folder, f"warehouse/mlops/churn/sources/{'ab' * 16}.json"]
    remove_leftovers(lake, found)
    assert lake.list("") == before
    assert load_version(workspace, version).num_rows == 99


def test_a_refused_batch_leaves_nothing_in_the_lake(
    client: Any, bucket: str, plain_bucket: str, tmp_path: Path, ray_cluster: str
) -> None:
    workspace = Workspace.at(tmp_path, lake=f"s3://{plain_bucket}/lake")
    put(client, bucket, "a.parquet", table_of(100, age=[200.0] + [20.0] * 99))
    client.put_object(Bucket=bucket, Key="b.parquet", Body=b"PAR1 and no more")
    with pytest.raises(SourceError, match=rf"s3://{bucket}/b\.parquet: expected a whole Parquet file"):
        ingest(spec_of(f"s3://{bucket}"), workspace, now_s=0, run_id="one")
    assert Lake(workspace.lake).list("") == []


def test_only_current_versions_below_the_prefix_are_listed(client: Any, bucket: str) -> None:
    for key in (
        "x/b.parquet",
        "x/a.parquet",
        "x/a.parquet",
        "x/_tmp/c.parquet",
        "x/d.json",
        "xy/e.parquet",
        "x/f.parquet",
    ):
        client.put_object(Bucket=bucket, Key=key, Body=b"1")
    client.delete_object(Bucket=bucket, Key="x/f.parquet")
    assert listed(f"s3://{bucket}/x") == [(f"s3://{bucket}/x/a.parquet", True), (f"s3://{bucket}/x/b.parquet", True)]


def test_a_bucket_without_versions_is_pinned_by_etag(client: Any, plain_bucket: str) -> None:
    client.put_object(Bucket=plain_bucket, Key="a.parquet", Body=b"one")
    connection = S3Connection.of(os.environ)
    (source,) = list_sources(f"s3://{plain_bucket}", connection)
    assert source.version_id is None
    client.put_object(Bucket=plain_bucket, Key="a.parquet", Body=b"two")
    with pytest.raises(SourceError, match="cannot be read"), open_pinned(source, connection, digest=True):
        pass


def test_the_pinned_version_is_read_whole_and_by_ranges_alike(client: Any, bucket: str) -> None:
    put(client, bucket, "a.parquet", table_of(1000), row_group_size=100)
    connection = S3Connection.of(os.environ)
    (source,) = list_sources(f"s3://{bucket}", connection)
    client.put_object(Bucket=bucket, Key="a.parquet", Body=b"other")
    with open_pinned(source, connection, digest=True) as (whole, sha256):
        expected = pq.ParquetFile(whole).read_row_group(7)
    with open_pinned(source, connection, digest=False) as (ranges, none):
        assert pq.ParquetFile(ranges).read_row_group(7).equals(expected)
    assert (len(sha256), none) == (64, "")


def test_a_bucket_that_does_not_exist_is_named(client: Any) -> None:
    with pytest.raises(SourceError, match=r"s3://no-such-bucket/x: cannot be listed: .*does not exist"):
        listed("s3://no-such-bucket/x")


def test_a_server_that_does_not_answer_is_named(s3: str) -> None:
    nowhere = S3Connection(endpoint="http://127.0.0.1:9", region="us-east-1", access_key="a", secret_key="b")
    with pytest.raises(SourceError, match=r"s3://x: cannot be listed: .*127\.0\.0\.1:9"):
        list_sources("s3://x", nowhere)


def test_a_lake_on_s3_does_what_a_folder_does(client: Any, plain_bucket: str, tmp_path: Path) -> None:
    lake = Lake(f"s3://{plain_bucket}/deep/lake")
    assert lake.list("models") == []
    assert lake.write_bytes("models/a/x", b"1") == f"s3://{plain_bucket}/deep/lake/models/a/x"
    lake.write_bytes("models/b", b"2")
    assert lake.list("models") == ["models/a/x", "models/b"]
    assert (lake.read_bytes("models/b"), lake.exists("models/a"), lake.exists("models/c")) == (b"2", True, False)
    assert (lake.download("models", tmp_path / "copy") / "a" / "x").read_bytes() == b"1"
    with pytest.raises(SourceError, match=r"lake/none: expected a file, found nothing"):
        lake.read_bytes("none")
    lake.remove("models")
    assert lake.list("models") == []
