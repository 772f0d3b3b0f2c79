"""A client of an MLflow that answers: reachability is asked first, because MLflow itself retries for minutes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
import sqlalchemy
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from mlops_ray.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["check_reachable", "connect", "is_refusal", "quiet_mlflow", "reporting"]

_TIMEOUT_S = 8.0
# what a server answers that is MLflow, or that stands before one and wants a login
_ALIVE = (200, 401, 403)
# MLflow's own client would ask a silent server for many minutes; who asks here tries again by itself
_CLIENT_LIMITS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "30", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
# what MLflow says of a request that will never be right
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE")


def quiet_mlflow() -> Any:
    """The mlflow module, its telemetry and its printing off.

    Imported here and not above: it takes 2 s, and at import it would report to its makers unless told before.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # stdout belongs to whoever calls us
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name, value in _CLIENT_LIMITS.items():
        os.environ.setdefault(name, value)
    import mlflow

    return mlflow


def connect(uri: str) -> "MlflowClient":
    """A client of the MLflow at `uri`; an empty database gets its tables.

    Raises:
        TrackingError: `uri` does not answer within about 8 s, or is nothing MLflow can use.
    """
    check_reachable(uri)
    with reporting(uri, "connect"):
        return quiet_mlflow().MlflowClient(tracking_uri=uri, registry_uri=uri)


def check_reachable(uri: str) -> None:
    """One quick question to the server or database at `uri`; TrackingError when it does not answer."""
    scheme = uri.partition(":")[0].lower() if ":" in uri else ""
    if scheme in ("http", "https"):
        _check_server(uri)
    elif scheme.partition("+")[0] in ("sqlite", "postgresql", "mysql", "mssql"):
        _check_database(uri)
    else:
        raise TrackingError(
            f"MLflow at {uri}: expected http(s)://host:port or a database such as sqlite:////folder/mlflow.db, "
            "found neither; MLflow no longer keeps runs in plain folders"
        )


def _check_server(uri: str) -> None:
    try:
        answer = requests.get(f"{uri.rstrip('/')}/health", timeout=_TIMEOUT_S)
    except requests.RequestException as error:
        raise TrackingError(f"MLflow at {_hidden(uri)}: no answer ({_first_line(error)}); is it running?") from error
    if answer.status_code not in _ALIVE:
        found = answer.status_code
        raise TrackingError(f"MLflow at {_hidden(uri)}: expected an MLflow server, /health answered {found}")


def _check_database(uri: str) -> None:
    try:
        url = make_url(uri)
        if url.get_backend_name() == "sqlite" and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        timeout = {"connect_timeout": int(_TIMEOUT_S)} if url.get_backend_name() == "postgresql" else {}
        engine = sqlalchemy.create_engine(url, connect_args=timeout, poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
    except (OSError, ImportError, SQLAlchemyError) as error:
        raise TrackingError(f"MLflow at {_hidden(uri)}: cannot open the database ({_first_line(error)})") from error


@contextmanager
def reporting(uri: str, action: str) -> Iterator[None]:
    """Turns what MLflow raises inside into a TrackingError that says where and at what."""
    exceptions = quiet_mlflow().exceptions
    try:
        yield
    except (exceptions.MlflowException, requests.RequestException, SQLAlchemyError, OSError) as error:
        raise TrackingError(f"MLflow at {_hidden(uri)}: {action}: {_first_line(error)}") from error


def is_refusal(error: TrackingError) -> bool:
    """Whether MLflow answered, and said that it will never take this."""
    return getattr(error.__cause__, "error_code", None) in _REFUSALS


def _hidden(uri: str) -> str:
    """The URI without its password."""
    try:
        return make_url(uri).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return uri


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
