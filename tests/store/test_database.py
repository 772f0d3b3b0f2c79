"""What is said when a database is not as needed."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mlops_ray.errors import StoreError
from mlops_ray.store import Store


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("store.db", "found 'store.db', which is no URL"),
        ("mysql://host/db", "of the database 'mysql'"),
        ("sqlite://", "a database in memory is seen by one process only"),
        ("sqlite:///:memory:", "a database in memory is seen by one process only"),
    ],
)
def test_a_url_that_cannot_be_used_says_what_is_expected(url: str, found: str) -> None:
    with pytest.raises(StoreError, match=r"expected sqlite:////absolute/file\.db or postgresql://") as caught:
        Store(url)
    assert found in str(caught.value)


def test_opening_a_store_touches_nothing(tmp_path: Path) -> None:
    Store(f"sqlite:///{tmp_path / 'folder' / 'store.db'}")
    Store("postgresql://user@nowhere.invalid/db")
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_was_never_created_says_so(store_url: str) -> None:
    store = Store(store_url)
    with pytest.raises(StoreError, match="it has not been created yet"):
        store.models()
    store.close()


def test_sqlite_writes_ahead_so_that_readers_never_wait(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "store.db"
    store = Store(f"sqlite:///{file}")
    store.create()
    store.close()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    file.write_text("this is a text, and long enough to be read as the header of a database " * 10)
    with pytest.raises(
        StoreError, match=r"expected a SQLite database that can be written, found: file is not a database"
    ):
        Store(f"sqlite:///{file}").create()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="its folder cannot be made"):
        Store(f"sqlite:///{tmp_path / 'file' / 'store.db'}").create()


def test_a_server_that_is_away_is_a_store_error_without_the_password() -> None:
    store = Store("postgresql://user:secret@127.0.0.1:1/db")
    with pytest.raises(StoreError, match=r"postgresql\+psycopg://user:\*\*\*@127.0.0.1:1/db") as caught:
        store.models()
    assert "secret" not in str(caught.value)
