"""Files of every format to tables, in this process."""

import gzip
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pytest

from mlops_ray.data.column import columns_of
from mlops_ray.data.reader import read_part
from mlops_ray.data.source import SourceObject
from mlops_ray.data.work import Part
from mlops_ray.errors import SchemaError, SourceError
from mlops_ray.spec import Csv, parse_spec

SPEC = """
name: m
data: {source: /raw, label: y, features: {a: float, c: category}}
"""
COLUMNS = columns_of(parse_spec(SPEC))


def read(content: bytes, name: str = "x.csv", **form: Any) -> list[dict[str, Any]]:
    part = Part(SourceObject(f"file:///raw/{name}", None, "", len(content), ""), 0, 1)
    tables = list(read_part(io.BytesIO(content), part, COLUMNS, Csv(**form)))
    return [row for table in tables for row in table.to_pylist()]


def test_every_value_of_a_csv_file_stays_text() -> None:
    assert read(b"a,c,y,note\n1,007,0,x\n2.5, b,,\n") == [
        {"a": "1", "c": "007", "y": "0", "note": "x"},
        {"a": "2.5", "c": " b", "y": None, "note": None},
    ]


def test_options_say_how_a_csv_file_is_written() -> None:
    content = "1;Zoë;0\nNULL;'b';1\n".encode("latin-1")
    form: dict[str, Any] = {"delimiter": ";", "header": False, "columns": ("a", "c", "y"), "nulls": ("NULL",)}
    assert read(content, encoding="latin-1", **form) == [
        {"a": "1", "c": "Zoë", "y": "0"},
        {"a": None, "c": "'b'", "y": "1"},
    ]


def test_quoted_values_hold_delimiters_quotes_and_line_ends() -> None:
    assert read(b'\xef\xbb\xbfa,c,y\r\n1,"x,""y""\nz",0\r\n')[0]["c"] == 'x,"y"\nz'


@pytest.mark.parametrize("name", ["x.csv.gz", "X.CSV.GZ"])
def test_compressed_csv_is_read_alike(name: str) -> None:
    assert read(gzip.compress(b"a,c,y\n1,b,0\n"), name) == [{"a": "1", "c": "b", "y": "0"}]


def test_a_csv_file_larger_than_a_block_is_read_whole(tmp_path: Path) -> None:
    rows = 700_000
    pc.write_csv(pa.table({"a": range(rows), "c": ["text of some length"] * rows, "y": [1] * rows}), tmp_path / "x.csv")
    with (tmp_path / "x.csv").open("rb") as stream:
        found = list(read_part(stream, Part(_source("x.csv"), 0, 1), COLUMNS, Csv()))
    assert len(found) > 1
    assert pa.concat_tables(found)["a"].to_pylist() == [str(i) for i in range(rows)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,c,y\n1,b,0\n2,b\n", r"file:///raw/x\.csv: row 3: expected 3 values, found 2: '2,b'"),
        (b"a,c,y\n1,b,0\n2,\xff,1\n", r"x\.csv: expected text in utf-8 \(data\.csv\.encoding\).*column #1: Row #3"),
        (b'a,c,y\n1,b,0\n2,b,"1\n3,b,0\n', r"x\.csv: expected every quote to be closed, found one.*'1\\n3,b,0"),
        (b"", r"x\.csv: expected rows, found an empty file"),
        (b"a,c,y\n", r"x\.csv: expected rows, found a file without any"),
    ],
)
def test_a_damaged_csv_file_is_named_with_its_row(content: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(content)


@pytest.mark.parametrize(
    ("header", "found"), [(b"a;c;y", r"found only a;c;y; is data\.csv\.delimiter"), (b"a,a,y", "found 2 of that name")]
)
def test_a_column_that_a_csv_file_does_not_have_once_is_named(header: bytes, found: str) -> None:
    with pytest.raises(SchemaError, match=rf"x\.csv: expected one column 'a', {found}"):
        read(header + b"\n1,2,3\n" if b"," in header else header + b"\n1;2;3\n")


def test_json_lines_keep_their_types_and_missing_keys_are_null() -> None:
    content = (
        b'\xef\xbb\xbf{"a": 1, "c": "007", "y": 0}\n\n{"c": "b", "a": 2.5, "extra": {"k": 1}, "y": null}\n{"a": null}'
    )
    assert read(content, "x.jsonl") == [
        {"a": 1.0, "c": "007", "y": 0, "extra": None},
        {"a": 2.5, "c": "b", "y": None, "extra": '{"k": 1}'},
        {"a": None, "c": None, "y": None, "extra": None},
    ]


def test_compressed_json_lines_are_read_alike() -> None:
    content = gzip.compress(b'{"a": 1, "c": "b", "y": 0}\n')
    assert read(content, "x.ndjson.gz") == [{"a": 1, "c": "b", "y": 0}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1, "c": "b", "y": 0}\n{"a": 1', r"x\.jsonl: line 2: expected one JSON object, found '{\"a\": 1'"),
        (b"[1]\n", r"line 1: expected one JSON object, found list \[1\]"),
        (b'{"a": "\xff"}\n', "line 1: expected one JSON object"),
        (b"\n\n", "expected rows, found a file without any"),
    ],
)
def test_a_damaged_line_is_named(content: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(content, "x.jsonl")


def test_a_key_that_is_in_no_line_is_named() -> None:
    with pytest.raises(SchemaError, match=r"expected the key 'y' in the lines, found it in none; keys: a, c"):
        read(b'{"a": 1, "c": "b"}\n', "x.jsonl")


@pytest.mark.parametrize("name", ["x.csv.gz", "x.jsonl.gz"])
@pytest.mark.parametrize("cut", [12, 40])
def test_cut_off_compression_is_told(name: str, cut: int) -> None:
    rows = [f"{i},b{i * 7919},0" for i in range(1000)] if "csv" in name else ['{"a": 1, "c": "b", "y": 0}'] * 1000
    whole = gzip.compress("\n".join(["a,c,y", *rows] if "csv" in name else rows).encode())
    with pytest.raises(SourceError, match="the file is damaged"):
        read(whole[:-cut], name)


def _source(name: str) -> SourceObject:
    return SourceObject(f"file:///raw/{name}", None, "", 0, "")
