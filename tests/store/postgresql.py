"""A PostgreSQL server of the tests' own: a temporary folder, a unix socket, no TCP port, never as root."""

import getpass
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

_START_S = 30.0


@contextmanager
def postgresql_server() -> Iterator[str]:
    """The folder of the server's socket; skips the test with the reason where no server is installed."""
    binaries = _binaries()
    user = "nobody" if os.getuid() == 0 else getpass.getuser()  # the server refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # a socket's path has to be short
    try:
        shutil.chown(folder, user)
        data = str(folder / "data")
        _as(user, [f"{binaries}/initdb", "-D", data, "-U", "tests", "-A", "trust", "--no-sync"]).communicate()
        server = _as(user, [f"{binaries}/postgres", "-D", data, "-k", str(folder), "-c", "listen_addresses=", "-F"])
        try:
            _wait_for(str(folder), server)
            yield str(folder)
        finally:
            server.send_signal(signal.SIGINT)  # the fast way: SIGTERM would wait for whoever is still connected
            server.communicate()
    finally:
        shutil.rmtree(folder)


def new_database(socket_folder: str, name: str) -> str:
    """Create an empty database and return its SQLAlchemy URL."""
    with psycopg.connect(host=socket_folder, user="tests", dbname="postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return f"postgresql://tests@/{name}?host={socket_folder}"


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    on_path = shutil.which("postgres")
    if not found and on_path is None:
        pytest.skip("no PostgreSQL server is installed (Debian package: postgresql)")
    return (found[-1] if found else Path(str(on_path))).parent


def _as(user: str, command: list[str]) -> subprocess.Popen[bytes]:
    """Start a command as `user`, without the groups of this process."""
    changes = user != getpass.getuser()
    return subprocess.Popen(
        command,
        cwd="/",
        user=user if changes else None,
        extra_groups=[] if changes else None,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait_for(socket_folder: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(int(_START_S / 0.1)):
        try:
            psycopg.connect(host=socket_folder, user="tests", dbname="postgres").close()
            return
        except psycopg.OperationalError:
            assert server.poll() is None, "the PostgreSQL server ended while starting"
            time.sleep(0.1)
    raise AssertionError(f"the PostgreSQL server did not answer within {_START_S:g} s")
