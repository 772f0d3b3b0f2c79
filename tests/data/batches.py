"""A small dataset for tests: one spec, and batches of rows that keep to it unless told otherwise."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlops_ray.data.catalog import open_catalog, table_location
from mlops_ray.data.column import columns_of, iceberg_schema
from mlops_ray.data.contents import Contents
from mlops_ray.data.publish import Batch, publish
from mlops_ray.data.source import SourceObject, fingerprint
from mlops_ray.lake import Lake
from mlops_ray.spec import ModelSpec, Workspace, parse_spec

FEATURES: dict[str, Any] = {
    "age": {"type": "float", "min": 0, "max": 120},
    "visits": "int",
    "active": "bool",
    "plan": {"type": "category", "categories": ["free", "pro"]},
    "income": {"type": "float", "max_null_share": 1.0},
}


def spec_of(source: str | Path, **changes: Any) -> ModelSpec:
    """The spec; `checks` and `features` add to those sections, anything else to `data`."""
    checks, features = changes.pop("checks", {}), FEATURES | changes.pop("features", {})
    data = {"source": str(source), "label": "churned", "unit": "customer", "timestamp": "day"}
    data |= {"features": features, "checks": {"max_quarantined_share": 0.5} | checks} | changes
    return parse_spec(json.dumps({"name": "churn", "data": data}))


def table_of(rows: int, *, first: int = 0, **changes: Any) -> pa.Table:
    """Customers `c<first>`, `c<first + 1>`, …; a keyword replaces a column."""
    numbers = range(first, first + rows)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    columns: dict[str, Any] = {
        "customer": [f"c{i}" for i in numbers],
        "day": [start + timedelta(hours=i) for i in numbers],
        "age": [20.0 + i % 60 for i in numbers],
        "visits": [i % 7 for i in numbers],
        "active": [i % 2 == 0 for i in numbers],
        "plan": [("free", "pro")[i % 2] for i in numbers],
        "income": [None if i % 10 == 0 else 1000.0 + i for i in numbers],
        "churned": [int(i % 3 == 0) for i in numbers],
    }
    return pa.table(columns | changes)


def write(folder: Path, name: str, table: pa.Table, **options: Any) -> Path:
    """Write one raw file."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / name, **options)
    return folder / name


def commit(
    workspace: Workspace, *, branch: str = "main", now_s: float = 0.0, table: str = "mlops.churn", sources: str = ""
) -> str:
    """Commit a version without rows, as an ingest does but without Ray; returns its snapshot id.

    `sources` is where its list of sources lies, relative to the lake; among those of the table by default.
    """
    lake, name = Lake(workspace.lake), uuid.uuid4().hex
    path = sources or f"warehouse/{table.replace('.', '/')}/sources/{name}.json"
    contents = Contents((SourceObject(f"file:///raw/{name}.parquet", None, "1", 1, name),))
    lake.write_bytes(path, contents.to_bytes())
    summary = {
        "digest": name,
        "committed_s": repr(now_s),
        "sources.uri": path,
        "sources.digest": fingerprint(contents.sources),
        "files.digest": contents.files_digest,
        "quarantined": "0",
    }
    batch = Batch(
        table,
        iceberg_schema(columns_of(spec_of("/raw"))),
        table_location(table, lake),
        (),
        lambda _: {f"mlops.{key}": value for key, value in summary.items()},
        branch,
    )
    return str(publish(open_catalog(workspace.catalog, lake), batch).snapshot_id)
