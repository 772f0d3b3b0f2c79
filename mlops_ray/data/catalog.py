"""The Iceberg catalog of an installation: in a SQL database, behind REST, or AWS Glue; tables under one lake."""

import os
import time
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from botocore.exceptions import BotoCoreError
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import RESTError
from requests import RequestException
from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from mlops_ray.errors import DataError
from mlops_ray.lake import Lake, S3Connection
from mlops_ray.spec import GLUE, REST, is_glue, is_rest, without_password

__all__ = ["CATALOG", "catalog_properties", "location_of", "open_catalog", "table_location"]

CATALOG = "mlops_ray"
_BUSY_S = 30  # how long SQLite waits for another writer


def catalog_properties(catalog: str, lake: Lake) -> dict[str, str]:
    """What `pyiceberg.catalog.load_catalog` needs, the S3 settings of this process among it.

    Args:
        catalog: a SQLAlchemy URL, `rest+https://host/path?warehouse=…&token=…` (any property of pyiceberg's REST
            catalog), or `glue://region`.
        lake: where the tables lie.
    """
    connection = S3Connection() if lake.is_local else S3Connection.of(os.environ)
    s3 = {
        "s3.endpoint": connection.endpoint,
        "s3.region": connection.region,
        "s3.access-key-id": connection.access_key,
        "s3.secret-access-key": connection.secret_key,
        "s3.session-token": connection.session_token,
    }
    return {
        "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
        **{key: value for key, value in s3.items() if value is not None},
        **_own_properties(catalog, lake),
    }


def open_catalog(catalog: str, lake: Lake, *, attempts: int = 5) -> Catalog:
    """The catalog at a URL (see `catalog_properties`); the tables of a SQL catalog are made when they are missing.

    Raises:
        DataError: it cannot be reached or refuses; the message holds no password.
    """
    if is_rest(catalog) or is_glue(catalog):
        return _open_service(catalog, lake)
    url = make_url(catalog)
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(attempts):
        if attempt:
            time.sleep(0.05 * 2**attempt)
        try:
            return _without_pool(load_catalog(CATALOG, **catalog_properties(catalog, lake)))
        except (
            DBAPIError
        ) as error:  # of two processes that make the same tables, the second finds them when it looks again
            problem = str(error.orig)
    raise DataError(
        f"catalog {without_password(catalog)}: expected a database that can be opened, found: {problem.strip()}"
    )


def _without_pool(catalog: Catalog) -> Catalog:
    """A catalog is opened for a moment: connections that it keeps would stay open for as long as anybody holds it."""
    if isinstance(catalog, SqlCatalog):
        catalog.engine.dispose()
        catalog.engine = create_engine(catalog.engine.url, poolclass=NullPool)
    return catalog


def _open_service(catalog: str, lake: Lake) -> Catalog:
    try:
        return load_catalog(CATALOG, **catalog_properties(catalog, lake))
    except (RESTError, RequestException, BotoCoreError, ValueError) as error:
        shown = without_password(catalog)
        raise DataError(f"catalog {shown}: expected an Iceberg catalog that answers, found: {error}") from None


def _own_properties(catalog: str, lake: Lake) -> dict[str, str]:
    if is_rest(catalog):
        parts = urlsplit(catalog.removeprefix(REST))
        return {**dict(parse_qsl(parts.query)), "type": "rest", "uri": parts._replace(query="", fragment="").geturl()}
    warehouse = {"warehouse": location_of(lake, "warehouse")}
    if is_glue(catalog):
        return {**warehouse, "type": "glue", **_glue_properties(catalog.removeprefix(GLUE))}
    return {**warehouse, "type": "sql", "uri": _patient(catalog)}


def _glue_properties(region: str) -> dict[str, str]:
    connection = S3Connection.of(os.environ)
    values = {
        "glue.region": region or connection.region,
        "glue.endpoint": os.environ.get("AWS_ENDPOINT_URL_GLUE") or os.environ.get("AWS_ENDPOINT_URL") or None,
        "glue.access-key-id": connection.access_key,
        "glue.secret-access-key": connection.secret_key,
        "glue.session-token": connection.session_token,
    }
    return {key: value for key, value in values.items() if value is not None}


def table_location(table: str, lake: Lake) -> str:
    """Where the files of a table lie."""
    return location_of(lake, f"warehouse/{table.replace('.', '/')}")


def location_of(lake: Lake, path: str) -> str:
    """The URI of a path in the lake as pyiceberg wants it: without %-escapes."""
    return f"file://{lake.root}/{path}" if lake.is_local else lake.uri_of(path)


def _patient(catalog: str) -> str:
    url = make_url(catalog)
    if url.get_backend_name() == "sqlite" and "timeout" not in url.query:
        url = url.update_query_dict({"timeout": str(_BUSY_S)})
    return url.render_as_string(hide_password=False)
