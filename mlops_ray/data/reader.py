"""The rows of one raw file, whatever its format, in batches of bounded memory."""

import gzip
from collections.abc import Iterator, Sequence
from typing import IO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from mlops_ray.data.column import Column
from mlops_ray.data.csv_rows import read_csv
from mlops_ray.data.json_rows import read_json_lines
from mlops_ray.data.listing import format_of
from mlops_ray.data.rules import check_schema
from mlops_ray.data.work import Part
from mlops_ray.errors import SchemaError, SourceError
from mlops_ray.spec import Csv

__all__ = ["check_names", "read_part"]

_CSV_HINT = "; is data.csv.delimiter or data.csv.header another?"


def read_part(stream: IO[bytes], part: Part, columns: tuple[Column, ...], form: Csv) -> Iterator[pa.Table]:
    """Tables with at least the columns of the spec; those of CSV and JSON lines may be text, to be converted.

    Raises:
        SourceError: the file is damaged, or has no rows.
        SchemaError: a column is missing, or of another type.
    """
    uri = part.source.uri
    kind = format_of(uri)
    if kind not in ("csv", "jsonl"):
        yield from _row_groups(stream, part, columns)
        return
    plain = cast(IO[bytes], gzip.GzipFile(fileobj=stream)) if uri.lower().endswith(".gz") else stream
    if kind == "csv":
        tables = _with_columns(read_csv(plain, form, uri=uri), columns, uri)
    else:
        tables = read_json_lines(plain, {column.name: column.kind for column in columns}, uri=uri)
    rows = 0
    for table in tables:
        rows += table.num_rows
        if table.num_rows:
            yield table
    if not rows:
        raise SourceError(f"{uri}: expected rows, found a file without any; remove it")


def check_names(names: Sequence[str], columns: Sequence[Column], *, uri: str, hint: str = "") -> None:
    """Check that rows without types of their own have every column of the spec once; columns beyond those are fine.

    Raises:
        SchemaError: it names the source, the column, and those that were found.
    """
    for column in columns:
        places = list(names).count(column.name)
        if places != 1:
            found = f"{places} of that name" if places else f"only {', '.join(names)}"
            raise SchemaError(f"{uri}: expected one column {column.name!r}, found {found}{hint}")


def _with_columns(tables: Iterator[pa.Table], columns: tuple[Column, ...], uri: str) -> Iterator[pa.Table]:
    for number, table in enumerate(tables):
        if number == 0:
            check_names(table.column_names, columns, uri=uri, hint=_CSV_HINT)
        yield table


def _row_groups(stream: IO[bytes], part: Part, columns: tuple[Column, ...]) -> Iterator[pa.Table]:
    uri = part.source.uri
    try:
        file = pq.ParquetFile(stream)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{uri}: expected a whole Parquet file, found {part.source.size_bytes:,} bytes that are not: {error}"
        ) from None
    check_schema(file.schema_arrow, columns, uri=uri)
    if file.metadata.num_rows == 0:
        raise SourceError(f"{uri}: expected rows, found a Parquet file without any; remove it")
    for group in part.row_groups(file.num_row_groups):
        try:
            table = file.read_row_group(group)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{uri}: row group {group} cannot be read, the file is damaged: {error}") from None
        if table.num_rows:
            yield table
