"""The rows of a file with one JSON object a line, in batches of bounded memory."""

import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any

import msgspec
import pyarrow as pa

from mlops_ray.data.cells import table_of_cells
from mlops_ray.data.column import Kind
from mlops_ray.errors import SchemaError, SourceError

__all__ = ["read_json_lines"]

_BATCH_BYTES = 8 * 2**20  # of text; as Python objects it is several times that
_LINE_BYTES = 64 * 2**20
_SHOWN = 60  # characters of a bad line
_BOM = b"\xef\xbb\xbf"


def read_json_lines(stream: IO[bytes], kinds: Mapping[str, Kind], *, uri: str) -> Iterator[pa.Table]:
    """Tables with a column for every key in a batch of lines; a row without the key is null there.

    Not pyarrow.json: that refuses a whole block for one value of another type, and names no line.

    Args:
        stream: at its start.
        kinds: what the columns of the spec are to become; they have a column in every batch.
        uri: names the file in errors.

    Raises:
        SourceError: a line that is no JSON object, or damaged compression; it names the line, of which the first is 1.
        SchemaError: a key of the spec is in no line; known at the end only.
    """
    rows: list[dict[str, Any]] = []
    size = 0
    seen: set[str] = set()
    for number, line in enumerate(_lines(stream, uri), start=1):
        if line.strip():
            rows.append(_row(line, number, uri))
            size += len(line)
        if size >= _BATCH_BYTES:
            yield _table(rows, kinds, seen)
            rows, size = [], 0
    if rows:
        yield _table(rows, kinds, seen)
    missing = [name for name in kinds if name not in seen]
    if seen and missing:
        raise SchemaError(
            f"{uri}: expected the key {missing[0]!r} in the lines, found it in none; keys: {', '.join(sorted(seen))}"
        )


def _lines(stream: IO[bytes], uri: str) -> Iterator[bytes]:
    number = 0
    while True:
        number += 1
        try:
            line = stream.readline(_LINE_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"{uri}: line {number}: cannot be read, the file is damaged: {error}") from None
        if not line:
            return
        if len(line) == _LINE_BYTES and not line.endswith(b"\n"):
            raise SourceError(f"{uri}: line {number}: expected at most {_LINE_BYTES:,} bytes, found more")
        yield line.removeprefix(_BOM) if number == 1 else line


def _row(line: bytes, number: int, uri: str) -> dict[str, Any]:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError) as error:
        shown = line.strip()[:_SHOWN].decode("utf-8", "replace")
        raise SourceError(f"{uri}: line {number}: expected one JSON object, found {shown!r}: {error}") from None
    if not isinstance(row, dict):
        raise SourceError(
            f"{uri}: line {number}: expected one JSON object, found {type(row).__name__} {str(row)[:_SHOWN]}"
        )
    return row


def _table(rows: list[dict[str, Any]], kinds: Mapping[str, Kind], seen: set[str]) -> pa.Table:
    keys = dict.fromkeys(key for row in rows for key in row)
    seen.update(keys)
    names = [*kinds, *(key for key in keys if key not in kinds)]
    return table_of_cells({name: [row.get(name) for row in rows] for name in names}, kinds)
