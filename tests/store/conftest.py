"""Every test that takes `store` or `store_url` runs twice: on SQLite and on a real PostgreSQL server."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_ray.store import Store
from tests.store.postgresql import new_database, postgresql_server


@pytest.fixture(scope="session")
def postgresql_socket() -> Iterator[str]:
    """One server for all tests."""
    with postgresql_server() as socket_folder:
        yield socket_folder


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of the test's own."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    return new_database(request.getfixturevalue("postgresql_socket"), f"t{uuid.uuid4().hex}")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A created store without content."""
    store = Store(store_url)
    store.create()
    yield store
    store.close()
