"""Files of every format through an ingest, on a real Ray and a real catalog."""

import gzip
import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.dataset as ds
import pytest

from mlops_ray.data import ingest, load_version
from mlops_ray.data.listing import s3_client
from mlops_ray.errors import SchemaError, SourceError
from mlops_ray.lake import Lake, S3Connection
from mlops_ray.spec import Workspace
from tests.data.batches import spec_of, table_of, write

pytestmark = pytest.mark.usefixtures("ray_cluster")


def csv_of(table: pa.Table) -> bytes:
    content = io.BytesIO()
    pc.write_csv(table, content)
    return content.getvalue()


def json_lines_of(table: pa.Table) -> bytes:
    return "".join(json.dumps(row, default=str) + "\n" for row in table.to_pylist()).encode()


def test_the_same_rows_come_out_of_every_format(tmp_path: Path, workspace: Workspace) -> None:
    raw, rows = tmp_path / "raw", 20
    write(raw, "a.parquet", table_of(rows))
    (raw / "b.csv").write_bytes(csv_of(table_of(rows, first=rows)))
    (raw / "c.csv.gz").write_bytes(gzip.compress(csv_of(table_of(rows, first=2 * rows))))
    (raw / "d.jsonl").write_bytes(json_lines_of(table_of(rows, first=3 * rows)))
    (raw / "e.ndjson.gz").write_bytes(gzip.compress(json_lines_of(table_of(rows, first=4 * rows))))
    version = ingest(spec_of(raw), workspace, now_s=0, run_id="one").version
    write(tmp_path / "plain", "all.parquet", table_of(5 * rows))
    other = Workspace.at(tmp_path / "other")
    expected = ingest(spec_of(tmp_path / "plain"), other, now_s=0, run_id="one").version
    found = load_version(workspace, version).sort_by([("day", "ascending")])
    assert found.equals(load_version(other, expected).sort_by([("day", "ascending")]))
    assert [Path(source.uri).suffix for source in version.sources] == [".parquet", ".csv", ".gz", ".jsonl", ".gz"]
    assert len({source.sha256 for source in version.sources}) == 5


def test_a_cell_that_cannot_be_converted_is_a_quarantined_row(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "a.csv").write_bytes(csv_of(table_of(10)).replace(b'"c3"', b'""').replace(b"27", b"old"))
    result = ingest(spec_of(tmp_path), workspace, now_s=0, run_id="one")
    assert result.reasons == {"age: not a number": 1, "customer: null": 1}
    assert (result.version.rows, result.version.quarantined_rows) == (8, 2)
    bad = ds.dataset(Lake(result.version.quarantine_uri or "").root).to_table()
    assert sorted(bad["_reason"].to_pylist()) == ["age: not a number", "customer: null"]
    assert bad["age"].to_pylist() == ["23", "old"]


def test_a_chosen_format_leaves_the_other_files_alone(tmp_path: Path, workspace: Workspace) -> None:
    write(tmp_path, "a.parquet", table_of(5))
    (tmp_path / "b.csv").write_bytes(csv_of(table_of(7, first=5)))
    assert ingest(spec_of(tmp_path, format="csv"), workspace, now_s=0, run_id="one").version.rows == 7
    with pytest.raises(SourceError, match=r"expected files named \*\.jsonl, \*\.jsonl\.gz, \*\.ndjson"):
        ingest(spec_of(tmp_path, format="jsonl"), workspace, now_s=0, run_id="two")


def test_one_damaged_file_refuses_the_whole_batch(tmp_path: Path, workspace: Workspace) -> None:
    write(tmp_path, "a.parquet", table_of(5))
    (tmp_path / "b.csv").write_bytes(csv_of(table_of(7)).rsplit(b",", 1)[0])
    with pytest.raises(SourceError, match=r"b\.csv: row 8: expected 8 values, found 7"):
        ingest(spec_of(tmp_path), workspace, now_s=0, run_id="one")
    (tmp_path / "b.csv").write_bytes(csv_of(table_of(7).drop_columns(["age"])))
    with pytest.raises(SchemaError, match=r"b\.csv: expected one column 'age', found only customer"):
        ingest(spec_of(tmp_path), workspace, now_s=0, run_id="two")
    assert Lake(workspace.lake).list("") == []


def test_csv_from_s3_is_pinned_by_its_version(s3: str, tmp_path: Path, workspace: Workspace) -> None:
    client = s3_client(S3Connection.of(os.environ))
    client.create_bucket(Bucket="csv-files")
    client.put_bucket_versioning(Bucket="csv-files", VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket="csv-files", Key="in/a.csv", Body=csv_of(table_of(30)))
    spec = spec_of("s3://csv-files/in")
    first = ingest(spec, workspace, now_s=0, run_id="one").version
    client.put_object(Bucket="csv-files", Key="in/a.csv", Body=csv_of(table_of(5, first=30)))
    second = ingest(spec, workspace, now_s=1, run_id="two").version
    assert (first.rows, second.rows) == (30, 35)
    old, new = first.sources + second.sources
    assert old.version_id is not None
    assert (old.uri, old.version_id != new.version_id) == (new.uri, True)
