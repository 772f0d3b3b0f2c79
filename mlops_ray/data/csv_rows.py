"""The rows of a CSV file, every value as text, in batches of bounded memory."""

import zlib
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pc

from mlops_ray.errors import SourceError
from mlops_ray.spec import Csv

__all__ = ["read_csv"]

_BLOCK_BYTES = 16 * 2**20
_DAMAGES = (pa.ArrowException, OSError, EOFError, UnicodeError, zlib.error)
_SHOWN = 60  # characters of a bad row


def read_csv(stream: IO[bytes], form: Csv, *, uri: str) -> Iterator[pa.Table]:
    """Tables of strings, with null where a value is one of `form.nulls`; the first may be empty, to show the columns.

    Args:
        stream: seekable, at its start.
        form: how the file is written.
        uri: names the file in errors.

    Raises:
        SourceError: a row of other length, text in another encoding, or nothing at all; it names the row, of which
            the first is 1, the header included.
    """
    reading = _Reading(stream, form, uri)
    names = reading.names()
    stream.seek(0)
    yield from reading.tables(names)


class _Reading:
    def __init__(self, stream: IO[bytes], form: Csv, uri: str) -> None:
        self.stream, self.form, self.uri = stream, form, uri
        self.bytes = _Unclosed(stream)
        self.bad: str | None = None  # the first row of other length

    def names(self) -> tuple[str, ...]:
        """Names of the columns. A first look, because they have to be known before their types can be told."""
        if self.form.columns:
            return self.form.columns
        try:
            return tuple(self._open({}).schema.names)
        except _DAMAGES as error:
            raise self._damaged(error) from None

    def tables(self, names: tuple[str, ...]) -> Iterator[pa.Table]:
        try:
            reader = self._open(dict.fromkeys(names, pa.string()))
            yield pa.Table.from_batches([], reader.schema)
            last = None
            for batch in reader:
                yield pa.Table.from_batches([batch])
                last = batch
        except _DAMAGES as error:
            raise self._damaged(error) from None
        self._check_closed(last)

    def _check_closed(self, last: pa.RecordBatch | None) -> None:
        """Arrow takes a quote that is never closed as closed at the end: the rows after it would be one value."""
        end = last.column(last.num_columns - 1)[-1].as_py() if last is not None and last.num_rows else None
        if self.bytes.quotes % 2 and end is not None and "\n" in end:
            raise SourceError(
                f"{self.uri}: expected every quote to be closed, found one that is open at the end of the file, with "
                f"the last value {end[:_SHOWN]!r}"
            )

    def _open(self, types: dict[str, pa.DataType]) -> Any:
        self.bytes = _Unclosed(self.stream)
        return pc.open_csv(
            pa.PythonFile(self.bytes, "r"),
            read_options=pc.ReadOptions(
                use_threads=False,  # only then does a message name the row
                block_size=_BLOCK_BYTES,
                encoding=self.form.encoding,
                column_names=list(self.form.columns) or None,
            ),
            parse_options=pc.ParseOptions(
                delimiter=self.form.delimiter, newlines_in_values=True, invalid_row_handler=self._remember
            ),
            convert_options=pc.ConvertOptions(
                column_types=types, strings_can_be_null=True, null_values=list(self.form.nulls)
            ),
        )

    def _remember(self, row: Any) -> str:
        if self.bad is None:
            self.bad = (
                f"row {row.number}: expected {row.expected_columns} values, found {row.actual_columns}: "
                f"{row.text[:_SHOWN]!r}"
            )
        return "error"

    def _damaged(self, error: Exception) -> SourceError:
        if self.bad is not None:
            return SourceError(f"{self.uri}: {self.bad}; is a quote or the delimiter missing?")
        what = str(error).strip() or type(error).__name__
        if "Empty CSV" in what:
            return SourceError(f"{self.uri}: expected rows, found an empty file; remove it")
        if isinstance(error, UnicodeError) or "UTF8" in what:
            return SourceError(
                f"{self.uri}: expected text in {self.form.encoding} (data.csv.encoding), found other bytes: {what}"
            )
        return SourceError(f"{self.uri}: cannot be read as CSV, the file is damaged: {what}")


class _Unclosed:
    """A stream that Arrow may close without closing ours; counts the quotes in it."""

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.quotes = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.quotes += data.count(b'"')
        return data

    def close(self) -> None:
        return
