"""SQLite or PostgreSQL behind one class: snapshots to read from, transactions to write in, errors as `StoreError`."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError

from mlops_ray.errors import MlopsRayError, StoreError

__all__ = ["Database"]

_EXPECTED = "expected sqlite:////absolute/file.db or postgresql://user:password@host/database"
_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
_BUSY_TIMEOUT_S = 30.0
_RETRY_S = 0.05
_WRITES = "mlops_ray_writes"
_CREATE_LOCK = 0x6D6C6F7073  # any number that others do not use: "mlops"


class Database:
    """One database by URL; nothing is opened before the first use, and only the URL is pickled.

    Raises:
        StoreError: no URL, of another database, or of a SQLite database in memory, which one process alone would see.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._parsed = _parsed(url)
        self._is_sqlite = self._parsed.get_backend_name() == "sqlite"

    def __reduce__(self) -> tuple[type["Database"], tuple[str]]:
        return type(self), (self.url,)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection whose queries all see the same moment."""
        # SQLite's transactions are snapshots as they are.
        options: dict[str, Any] = {} if self._is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self._engine.connect().execution_options(**options) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in a transaction; leaving it without `commit()` rolls it back."""
        with self._engine.connect().execution_options(**{_WRITES: True}) as connection:
            yield connection

    @contextmanager
    def creating(self) -> Iterator[Connection]:
        """Like `writing`, on a database that may be new, and by one process at a time."""
        if self._is_sqlite:
            _prepare_file(Path(str(self._parsed.database)))
        with self.writing() as connection:
            if not self._is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CREATE_LOCK})
            yield connection

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        engine = self.__dict__.pop("_engine", None)
        if engine is not None:
            engine.dispose()

    @cached_property
    def _engine(self) -> Engine:
        try:
            engine = (
                _sqlite_engine(self._parsed) if self._is_sqlite else create_engine(self._parsed, pool_pre_ping=True)
            )
        except ModuleNotFoundError as error:
            raise StoreError(
                f"{self._parsed!r} needs the package {error.name}; pip install 'mlops-ray[postgres]'"
            ) from None
        event.listen(engine, "handle_error", _as_store_error, retval=True)
        return engine


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError(f"{_EXPECTED}, found {url!r}, which is no URL") from None
    backend = parsed.drivername.split("+")[0]
    if backend not in _DRIVERS:
        raise StoreError(f"{_EXPECTED}, found {parsed!r}, of the database {backend!r}")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StoreError(f"{_EXPECTED}, found {url!r}: a database in memory is seen by one process only")
    return parsed.set(drivername=_DRIVERS[backend]) if parsed.drivername == backend else parsed


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _leave_transactions_to_us)
    event.listen(engine, "begin", _begin_on_sqlite)
    return engine


def _leave_transactions_to_us(connection: Any, _record: object) -> None:
    # Python's driver would begin transactions late, and never as writing ones.
    connection.isolation_level = None


def _begin_on_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare_file(file: Path) -> None:
    """Make the folder, and switch the file to write-ahead logging, in which it then stays.

    When two processes switch at once SQLite answers "locked" without waiting for its timeout; so this asks again.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"store {file}: its folder cannot be made ({error})") from None
    for last_try in [False] * int(_BUSY_TIMEOUT_S / _RETRY_S) + [True]:
        try:
            with closing(sqlite3.connect(file, timeout=_BUSY_TIMEOUT_S)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.DatabaseError as error:
            if last_try or "locked" not in str(error):
                raise StoreError(
                    f"store {file}: expected a SQLite database that can be written, found: {error}"
                ) from None
        time.sleep(_RETRY_S)


def _as_store_error(context: ExceptionContext) -> MlopsRayError | None:
    """SQLAlchemy calls this with each error; what it returns is raised instead."""
    error = context.original_exception
    if context.is_pre_ping:
        return None  # a connection that went away, which the pool is about to replace
    if isinstance(error, MlopsRayError):
        return error
    missing = "no such table" in str(error) or "UndefinedTable" in type(error).__name__
    advice = "; it has not been created yet" if missing else ""
    where = f"store {context.engine.url!r}" if context.engine else "store"
    return StoreError(f"{where}: {' '.join(str(error).split())}{advice}")
