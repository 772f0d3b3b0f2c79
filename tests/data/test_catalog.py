"""Opening the catalog."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlops_ray.data.catalog import CATALOG, catalog_properties, location_of, open_catalog
from mlops_ray.errors import DataError
from mlops_ray.lake import Lake


def test_opened_by_many_at_once_it_is_made_once(tmp_path: Path) -> None:
    url, lake = f"sqlite:///{tmp_path / 'new' / 'catalog.db'}", Lake(str(tmp_path / "lake"))
    with ThreadPoolExecutor(6) as pool:
        catalogs = list(pool.map(lambda _: open_catalog(url, lake), range(6)))
    assert {catalog.name for catalog in catalogs} == {CATALOG}
    assert catalogs[0].list_namespaces() == []


def test_a_database_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_text("this is no database, but long enough to be looked at " * 20)
    with pytest.raises(
        DataError, match=r"catalog sqlite:////.*catalog\.db: expected a database .* file is not a database"
    ):
        open_catalog(f"sqlite:///{tmp_path / 'catalog.db'}", Lake(str(tmp_path)), attempts=1)


def test_a_location_has_no_escapes_because_pyiceberg_takes_none(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "my lake"))
    assert location_of(lake, "warehouse") == f"file://{tmp_path}/my lake/warehouse"
    assert location_of(Lake("s3://bucket/lake"), "x") == "s3://bucket/lake/x"


def test_sqlite_waits_for_other_writers() -> None:
    uri = catalog_properties("sqlite:////tmp/catalog.db", Lake("/tmp/lake"))["uri"]
    assert uri == "sqlite:////tmp/catalog.db?timeout=30"
    own = "sqlite:////tmp/catalog.db?timeout=5"
    assert catalog_properties(own, Lake("/tmp/lake"))["uri"] == own


def test_a_password_in_the_url_reaches_the_database() -> None:
    url = "postgresql+psycopg://me:secret@db/catalog"
    assert catalog_properties(url, Lake("/tmp/lake"))["uri"] == url


def test_a_local_lake_takes_no_keys_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://here")
    local = catalog_properties("sqlite:////tmp/c.db", Lake("/tmp/lake"))
    remote = catalog_properties("sqlite:////tmp/c.db", Lake("s3://bucket/lake"))
    assert not [key for key in local if key.startswith("s3.")]
    assert (remote["s3.endpoint"], remote["s3.secret-access-key"]) == ("http://here", "hidden")
