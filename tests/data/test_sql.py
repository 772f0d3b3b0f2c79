"""SQL databases as sources: SQLite, and a PostgreSQL server of the tests' own."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from mlops_ray.data import DatasetTable, IngestResult, ingest, load_version
from mlops_ray.data.source import SourceObject
from mlops_ray.data.sql import SqlRange, SqlRows, resolved_url, sql_source
from mlops_ray.errors import MlopsRayError, SchemaError, SourceError, ValidationError
from mlops_ray.lake import Lake
from mlops_ray.spec import ModelSpec, Sql, Workspace
from tests.data.batches import spec_of, table_of
from tests.store.postgresql import new_database, postgresql_server

_TYPES = (
    "id bigint, customer text, day timestamp, age float, visits int, active bool, plan text, income float, churned int"
)
_SQL = {"query": "SELECT * FROM customers;"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql_server() as folder:
        yield folder


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database with the table `customers`."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'raw.db'}"
    else:
        name = f"t{abs(hash(request.node.name))}"
        url = new_database(request.getfixturevalue("server"), name)
    run(url, f"CREATE TABLE customers ({_TYPES})")
    return url


def run(url: str, statement: str, rows: list[dict[str, Any]] | None = None) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement), rows)
    engine.dispose()


def add(url: str, rows: int, *, first: int = 0, **changes: Any) -> None:
    names = [column.split()[0] for column in _TYPES.split(", ")]
    table = table_of(rows, first=first, **changes).append_column("id", [range(first + 1, first + rows + 1)])
    values = [row | {"day": str(row["day"].replace(tzinfo=None))} for row in table.to_pylist()]
    run(url, f"INSERT INTO customers VALUES ({', '.join(f':{name}' for name in names)})", values)


def took(spec: ModelSpec, workspace: Workspace) -> IngestResult:
    return ingest(spec, workspace, now_s=0, run_id="run")


def test_a_cursor_makes_each_batch_the_rows_above_the_last_one(
    database: str, workspace: Workspace, ray_cluster: str
) -> None:
    spec = spec_of(database, sql=_SQL | {"cursor": "id"})
    with pytest.raises(SourceError, match="expected rows, found none"):
        took(spec, workspace)
    add(database, 100, age=[200.0] + [20.0] * 99)
    first = took(spec, workspace)
    assert took(spec, workspace) == IngestResult(first.version, committed=False)
    add(database, 50, first=100)
    second = took(spec, workspace)
    assert (first.version.rows, first.version.quarantined_rows, second.version.rows) == (99, 1, 149)
    (old,), (new,) = first.version.sources, second.version.sources
    assert old.uri == new.uri
    assert old.uri.endswith("#SELECT * FROM customers")
    assert SqlRange.from_text(old.version_id or "") == SqlRange("id", None, 100)
    assert SqlRange.from_text(new.version_id or "") == SqlRange("id", 100, 150)
    customers = load_version(workspace, second.version)["customer"].to_pylist()
    assert sorted(customers, key=lambda c: int(c[1:])) == [f"c{i}" for i in range(1, 150)]


def test_without_a_cursor_the_whole_result_is_a_batch_unless_it_is_the_same(
    database: str, workspace: Workspace, ray_cluster: str
) -> None:
    spec = spec_of(database, sql={"table": "customers"})
    add(database, 20)
    first = took(spec, workspace)
    before = Lake(workspace.lake).list("")
    assert took(spec, workspace).committed is False
    assert Lake(workspace.lake).list("") == before
    add(database, 1, first=20)
    assert took(spec, workspace).version.rows == first.version.rows + 21


def test_a_refused_batch_is_read_again(tmp_path: Path, workspace: Workspace, ray_cluster: str) -> None:
    url = f"sqlite:///{tmp_path / 'raw.db'}"
    run(url, f"CREATE TABLE customers ({_TYPES})")
    add(url, 10, age=[200.0] * 6 + [20.0] * 4)
    spec = spec_of(url, sql=_SQL | {"cursor": "id"})
    with pytest.raises(ValidationError, match="max_quarantined_share"):
        took(spec, workspace)
    left = Lake(workspace.lake).list("")
    assert left
    assert all(path.startswith("quarantine/") for path in left)
    run(url, "UPDATE customers SET age = 30")
    assert took(spec, workspace).version.rows == 10
    assert DatasetTable.of(spec, workspace).resolve("latest").number == 1


def rows_of(url: str, statement: str = "SELECT * FROM customers", *, cursor: str | None = None) -> SqlRows:
    sql = Sql(query=statement, cursor=cursor)
    return SqlRows(url, sql, sql_source(url, sql, ()))


def test_rows_are_streamed_in_batches_and_their_order_does_not_matter(database: str) -> None:
    run(
        database,
        "CREATE TABLE many AS WITH RECURSIVE n(i) AS "
        "(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) SELECT i FROM n",
    )
    down, up = (rows_of(database, f"SELECT i FROM many ORDER BY i {way}") for way in ("DESC", "ASC"))
    sizes = [table.num_rows for table in down.tables({"i": "int"})]
    assert (len(sizes), sum(sizes), down.rows) == (3, 50_000, 50_000)
    assert sum(table.num_rows for table in up.tables({"i": "int"})) == 50_000
    assert up.source.sha256 == down.source.sha256
    fewer = rows_of(database, "SELECT i FROM many WHERE i > 1")
    list(fewer.tables({"i": "int"}))
    assert fewer.source.sha256 != up.source.sha256


@pytest.mark.parametrize(
    ("statement", "cursor", "message"),
    [
        ("SELECT * FROM nothing", None, "cannot be read: .*nothing"),
        ("SELECT 1 AS a", "b", "b"),
        ("SELECT NULL AS a", "a", "expected a value of 'a' in every row, found null"),
        ("SELECT 1 AS a, 2 AS a", None, "expected each column once, found 'a'"),
    ],
)
def test_a_query_that_cannot_be_read_is_named(database: str, statement: str, cursor: str | None, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        list(rows_of(database, statement, cursor=cursor).tables({}))


def test_colons_percents_and_comments_in_a_query_are_the_databases_own(database: str) -> None:
    rows = rows_of(database, "SELECT 'a:b' AS a WHERE 'ab' LIKE 'a%' -- all", cursor="a")
    (table,) = rows.tables({"a": "category"})
    assert table["a"].to_pylist() == ["a:b"]


@pytest.mark.parametrize(
    "value", [7, 2**62, 1.5, Decimal("1.50"), "x", date(2024, 1, 2), datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC)]
)
def test_a_cursor_is_written_down_and_read_again(value: Any) -> None:
    bounds = SqlRange("c", None, value)
    assert SqlRange.from_text(bounds.to_text()) == bounds


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "bigint", "numeric", "date"])
def test_every_kind_of_cursor_goes_back_into_postgresql(server: str, kind: str) -> None:
    url = new_database(server, f"cursor_{kind}")
    values = (
        "9000000000, 9000000001, 9000000002"
        if kind in ("bigint", "numeric")
        else ("'2024-10-27 00:30:00.000001', '2024-10-27 01:30', '2024-10-28'")
    )
    literals = ", ".join(f"({value.strip()}::{kind})" for value in values.split(", "))
    sql = Sql(query=f"SELECT * FROM (VALUES {literals}) AS v(c)", cursor="c")
    first = SqlRows(url, sql, sql_source(url, sql, ()))
    list(first.tables({}))
    again = SqlRows(url, sql, sql_source(url, sql, (first.source,)))
    assert (first.rows, list(again.tables({})), again.rows) == (3, [], 0)


def test_a_password_is_taken_from_the_environment_and_never_written_down() -> None:
    written = "postgresql://me:${PW}@127.0.0.1:9/db"
    url = resolved_url(written, {"PW": "hidden"})
    sql = Sql(table="t")
    rows = SqlRows(url, sql, sql_source(written, sql, ()))
    with pytest.raises(SourceError, match="postgresql://me@127") as refused:
        list(rows.tables({}))
    assert "hidden" not in f"{rows!r} {rows.source} {refused.value}"
    with pytest.raises(SourceError, match="expected the environment variable PW to be set"):
        resolved_url(written, {})


@pytest.mark.parametrize("url", ["sqlite:////nowhere/raw.db", "nosuch://host/db", "mysql+pymysql://host/db"])
def test_a_database_that_is_not_there_is_named(url: str) -> None:
    with pytest.raises(SourceError, match="expected a database"):
        list(rows_of(url).tables({}))


def test_two_readings_of_one_range_claim_the_same() -> None:
    bounds = [SqlRange("id", 5, upto).to_text() for upto in (7, 9)]
    one, two = (SourceObject("sqlite:////x#q", b, b, 1, b) for b in bounds)
    assert one.identity != two.identity
    assert one.claim == two.claim


def test_a_column_that_the_query_does_not_give_is_named(tmp_path: Path, workspace: Workspace, ray_cluster: str) -> None:
    url = f"sqlite:///{tmp_path / 'raw.db'}"
    run(url, f"CREATE TABLE customers ({_TYPES})")
    add(url, 3)
    with pytest.raises(SchemaError, match="SELECT age FROM customers: expected one column 'customer', found only age"):
        took(spec_of(url, sql={"query": "SELECT age FROM customers"}), workspace)
    assert issubclass(SchemaError, MlopsRayError)
