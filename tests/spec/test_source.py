"""How sources are written down in a spec."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlops_ray.errors import SpecError
from mlops_ray.spec import load_spec, parse_spec


def spec(**data: Any) -> str:
    content = {"source": "/raw", "label": "y", "features": {"a": "float"}}
    return json.dumps({"name": "m", "data": content | data})


def test_files_of_every_format_are_read_unless_one_is_chosen() -> None:
    data = parse_spec(spec()).data
    assert (data.format, data.csv.delimiter, data.csv.nulls, data.sql) == ("auto", ",", ("",), None)
    assert parse_spec(spec(format="csv", csv={"delimiter": "\t"})).data.csv.delimiter == "\t"


@pytest.mark.parametrize(
    ("csv", "message"),
    [
        ({"delimiter": '"'}, "delimiter must be one ASCII character"),
        ({"encoding": "utf-99"}, "encoding must be one that Python knows"),
        ({"header": False}, "columns are for files without a header"),
        ({"columns": ["a"]}, "columns are for files without a header"),
    ],
)
def test_csv_options_that_cannot_be_are_refused(csv: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_spec(spec(csv=csv))


def test_a_query_is_one_line_without_its_semicolon() -> None:
    source = "postgresql+psycopg://me:${PW}@host/db"
    data = parse_spec(spec(source=source, sql={"query": " SELECT 1 ;\n"})).data
    assert data.sql is not None
    assert data.sql.select == "SELECT 1"
    table = parse_spec(spec(source=source, sql={"table": "mart.rows", "cursor": "id"})).data.sql
    assert table is not None
    assert table.select == "SELECT * FROM mart.rows"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"source": "postgresql://host/db"}, "sql goes with a source that is a SQLAlchemy URL"),
        ({"sql": {"table": "t"}}, "sql goes with a source that is a SQLAlchemy URL"),
        ({"source": "sqlite:////x", "sql": {}}, "expected either query or table"),
        ({"source": "sqlite:////x", "sql": {"table": "t; drop"}}, r"data\.sql\.table"),
        ({"events": {"queue": "my-queue"}}, r"data\.events\.queue"),
    ],
)
def test_sources_that_do_not_fit_are_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_spec(spec(**data))


@pytest.mark.parametrize("url", ["postgresql://me:hidden@host/db", "postgresql://host/db?password=hidden"])
def test_a_password_in_the_spec_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(SpecError, match="must not hold a password") as refused:
        parse_spec(spec(source=url, sql={"table": "t"}))
    assert "hidden" not in str(refused.value)


def test_a_relative_sqlite_file_is_taken_from_the_folder_of_the_spec(tmp_path: Path) -> None:
    for written, expected in (("raw.db", f"sqlite:///{tmp_path / 'raw.db'}"), ("/raw.db", "sqlite:////raw.db")):
        file = tmp_path / "m.yaml"
        file.write_text(spec(source=f"sqlite:///{written}", sql={"table": "t"}))
        assert load_spec(file).data.source == expected
