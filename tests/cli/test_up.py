"""`up` and `down` where there is nothing to start or to end."""

import socket
from pathlib import Path

import pytest

from tests.cli.command import mlops_ray, running_for


@pytest.mark.parametrize("name", ["serve", "dashboard", "gcs", "mlflow"])
def test_up_refuses_a_port_in_use_and_leaves_nothing_running(tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        ports = {other: 0 for other in ("serve", "dashboard", "gcs", "mlflow")} | {name: taken}
        options = [word for other, port in ports.items() for word in (f"--{other}-port", str(port))]
        message = mlops_ray("up", *options, cwd=tmp_path, home=home).error
    assert f"port {taken} for {name} is in use" in message
    assert f"--{name}-port" in message
    assert running_for(home) == []
    assert not (home / "workspace.json").exists()


def test_down_ends_nothing_where_nothing_runs(tmp_path: Path) -> None:
    assert mlops_ray("down", cwd=tmp_path, home=tmp_path / "home").answer == {"stopped": []}
