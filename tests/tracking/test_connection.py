import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mlops_ray.errors import TrackingError
from mlops_ray.tracking.connection import check_reachable


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NotMlflow(BaseHTTPRequestHandler):
    """A server that knows no /health."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


def test_a_closed_port_fails_within_ten_seconds_and_names_the_uri() -> None:
    uri = f"http://127.0.0.1:{closed_port()}"
    started = time.monotonic()
    with pytest.raises(TrackingError, match=f"MLflow at {uri}: no answer"):
        check_reachable(uri)
    assert time.monotonic() - started < 10


def test_a_server_that_is_not_mlflow_is_told_apart() -> None:
    with HTTPServer(("127.0.0.1", 0), NotMlflow) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(TrackingError, match="expected an MLflow server, /health answered 404"):
            check_reachable(f"http://127.0.0.1:{server.server_port}")


@pytest.mark.parametrize("uri", ["/some/folder", "file:///some/folder", "mlruns", ""])
def test_a_plain_folder_is_refused_with_what_to_use_instead(uri: str) -> None:
    with pytest.raises(TrackingError, match=r"expected http.* or a database such as sqlite:"):
        check_reachable(uri)


def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingError, match="cannot open the database"):
        check_reachable(f"sqlite:///{tmp_path}/file/mlflow.db")


def test_a_password_is_not_shown() -> None:
    with pytest.raises(TrackingError) as raised:
        check_reachable(f"postgresql+psycopg://ann:s3cret@127.0.0.1:{closed_port()}/mlflow")
    assert "s3cret" not in str(raised.value)


def test_a_fresh_sqlite_file_is_reachable_and_its_folder_made(tmp_path: Path) -> None:
    check_reachable(f"sqlite:///{tmp_path}/new/mlflow.db")
    assert (tmp_path / "new").is_dir()
