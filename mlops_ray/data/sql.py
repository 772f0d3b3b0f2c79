"""The rows of one SQL query, streamed: one statement, so one consistent snapshot, and bounded memory."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
from sqlalchemy import DateTime, Select, bindparam, column, create_engine, literal_column, or_, select, text
from sqlalchemy.engine import Engine, Row, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.sql import Executable

from mlops_ray.data.cells import table_of_cells
from mlops_ray.data.column import Kind
from mlops_ray.data.source import SourceObject
from mlops_ray.errors import SourceError
from mlops_ray.spec import Sql

__all__ = ["SqlRange", "SqlRows", "resolved_url", "sql_source"]

_BATCH_ROWS = 20_000
_VARIABLE = re.compile(r"\$\{(\w+)\}")
# What a cursor may be, and how it is written down and read again.
_TYPES: dict[str, tuple[type, Callable[[str], Any]]] = {
    "int": (int, int),
    "float": (float, float),
    "decimal": (Decimal, Decimal),
    "text": (str, str),
    "datetime": (datetime, datetime.fromisoformat),  # before date, which it is too
    "date": (date, date.fromisoformat),
}


@dataclass(frozen=True)
class SqlRange:
    """The rows with `after` < cursor <= `upto`; None is no bound."""

    cursor: str
    after: Any = None
    upto: Any = None

    def to_text(self) -> str:
        """JSON, as the version id of a source."""
        return json.dumps({"cursor": self.cursor, "after": _written(self.after), "upto": _written(self.upto)})

    @classmethod
    def from_text(cls, written: str) -> Self:
        """The inverse of `to_text`."""
        content = json.loads(written)
        return cls(content["cursor"], _read(content["after"]), _read(content["upto"]))


def sql_source(source: str, sql: Sql, history: tuple[SourceObject, ...]) -> SourceObject:
    """What is to be read next: everything, or with a cursor the rows above the largest one in `history`.

    The identity is complete only when the rows were read: then it has their digest, and the largest cursor.
    """
    uri = f"{make_url(source)._replace(password=None).render_as_string()}#{' '.join(sql.select.split())}"
    if sql.cursor is None:
        return SourceObject(uri, None, "", 0, "")
    before = [s for s in history if s.uri == uri and s.version_id is not None]
    ranges = [SqlRange.from_text(s.version_id) for s in before if s.version_id is not None]
    after = next((r.upto for r in reversed(ranges) if r.cursor == sql.cursor), None)
    return SourceObject(uri, SqlRange(sql.cursor, after).to_text(), "", 0, "")


def resolved_url(source: str, environment: Mapping[str, str]) -> str:
    """The URL with every `${NAME}` replaced from the environment.

    Raises:
        SourceError: a variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in environment:
            raise SourceError(f"data.source: expected the environment variable {name} to be set, found it is not")
        return environment[name]

    return _VARIABLE.sub(value, source)


@dataclass
class SqlRows:
    """One reading of a query. `source` is complete once `tables` is exhausted."""

    url: str = field(repr=False)  # with the password
    sql: Sql
    source: SourceObject
    rows: int = 0

    def tables(self, kinds: Mapping[str, Kind]) -> Iterator[pa.Table]:
        """Batches of rows in the columns of the query.

        Raises:
            SourceError: the database cannot be reached or refuses, or a row has null for its cursor.
        """
        digest, upto = _RowsDigest(), self._after
        with _connected(self.url, self.source.uri) as engine, engine.connect() as connection:
            options = {"stream_results": True, "max_row_buffer": _BATCH_ROWS}
            with connection.execution_options(**options).execute(self._statement()) as result:
                names = list(result.keys())
                self._check(names)
                digest.add_names(names)
                for part in result.partitions(_BATCH_ROWS):
                    digest.add(part)
                    if self.sql.cursor is not None:
                        upto = self._largest(upto, part, names.index(self.sql.cursor))
                    self.rows += len(part)
                    cells = zip(*part, strict=True)
                    yield table_of_cells(dict(zip(names, cells, strict=True)), kinds)
        self._complete(digest, upto)

    @property
    def _after(self) -> Any:
        return SqlRange.from_text(self.source.version_id).after if self.source.version_id is not None else None

    def _statement(self) -> Executable:
        # Else :name would be a parameter, and a comment at the end would go on.
        query = text(self.sql.select.replace(":", r"\:") + "\n")
        if self.sql.cursor is None:
            return query
        batch = query.columns(column(self.sql.cursor)).subquery("batch")
        rows: Select[Any] = select(literal_column("*")).select_from(batch)
        after = self._after
        if after is None:
            return rows
        zoned = isinstance(after, datetime) and after.tzinfo is not None
        bound = bindparam("after", after, type_=DateTime(timezone=True) if zoned else None)
        cursor = batch.c[self.sql.cursor]
        return rows.where(or_(cursor > bound, cursor.is_(None)))  # null is found, and refused

    def _check(self, names: list[str]) -> None:
        if self.sql.cursor is not None and names.count(self.sql.cursor) != 1:
            raise SourceError(
                f"{self.source.uri}: data.sql.cursor: expected one column {self.sql.cursor!r}, found {', '.join(names)}"
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SourceError(f"{self.source.uri}: expected each column once, found {twice[0]!r} several times")

    def _largest(self, before: Any, part: Any, place: int) -> Any:
        values = [row[place] for row in part]
        if any(value is None for value in values):
            raise SourceError(
                f"{self.source.uri}: data.sql.cursor: expected a value of {self.sql.cursor!r} in every row, found null"
            )
        try:
            return max(values if before is None else [before, *values])
        except TypeError as error:
            raise SourceError(
                f"{self.source.uri}: data.sql.cursor: expected values of {self.sql.cursor!r} of one type: {error}"
            ) from None

    def _complete(self, digest: "_RowsDigest", upto: Any) -> None:
        hexadecimal = digest.hexdigest()
        version = None if self.sql.cursor is None else SqlRange(self.sql.cursor, self._after, upto).to_text()
        self.source = replace(
            self.source, version_id=version, etag=hexadecimal, size_bytes=digest.size_bytes, sha256=hexadecimal
        )


class _RowsDigest:
    """A sha256 over rows whatever their order, because a database promises none: the sum of the rows' own."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._names, self._rows, self._sum = b"", 0, 0

    def add_names(self, names: list[str]) -> None:
        self._names = json.dumps(names).encode()

    def add(self, rows: Any) -> None:
        for row in rows:
            content = _canonical(row)
            self.size_bytes += len(content)
            self._sum += int.from_bytes(hashlib.sha256(content).digest())
        self._rows += len(rows)

    def hexdigest(self) -> str:
        content = f"{self._rows} {self._sum % 2**256:x} ".encode() + self._names
        return hashlib.sha256(content).hexdigest()


def _canonical(row: Row[Any]) -> bytes:
    return json.dumps(list(row), default=_plain, separators=(",", ":")).encode()


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _written(value: Any) -> list[str] | None:
    if value is None:
        return None
    name = next((name for name, (kind, _) in _TYPES.items() if isinstance(value, kind)), None)
    if name is None or isinstance(value, bool):
        raise SourceError(f"data.sql.cursor: expected a number, time or text, found {type(value).__name__} {value!r}")
    return [name, value.isoformat() if isinstance(value, date) else str(value)]


def _read(written: list[str] | None) -> Any:
    return None if written is None else _TYPES[written[0]][1](written[1])


@contextmanager
def _connected(url: str, shown: str) -> Iterator[Engine]:
    try:
        engine = create_engine(url)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise SourceError(f"{shown}: expected a database there is a driver for, found none: {error}") from None
    database = engine.url.database
    is_file = engine.url.get_backend_name() == "sqlite" and database and not database.startswith(("file:", ":"))
    if is_file and not Path(str(database)).exists():
        raise SourceError(f"{shown}: expected a database file, found nothing")  # SQLite would make an empty one
    try:
        yield engine
    except DBAPIError as error:
        raise SourceError(f"{shown}: cannot be read: {str(error.orig).strip()}") from None
    except SQLAlchemyError as error:
        raise SourceError(f"{shown}: cannot be read: {error}") from None
    finally:
        engine.dispose()
