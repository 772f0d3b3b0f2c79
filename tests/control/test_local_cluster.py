"""What one machine's cluster must not share with another on the same machine."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from mlops_ray.control.local_cluster import Ports, serve_environment
from mlops_ray.errors import ClusterError


def _replica_ports(folder: Path) -> range:
    environment = serve_environment(folder, {})
    first, last = (int(environment[f"RAY_SERVE_DIRECT_INGRESS_{end}_HTTP_PORT"]) for end in ("MIN", "MAX"))
    return range(first, last + 1)


def test_replicas_get_ports_that_no_other_cluster_uses(tmp_path: Path) -> None:
    others = _replica_ports(tmp_path)
    with socket.create_server(("0.0.0.0", others[3])):
        mine = [_replica_ports(tmp_path) for _ in range(30)]
    assert all(set(ports).isdisjoint(others) for ports in mine)


def test_two_clusters_share_no_port(tmp_path: Path) -> None:
    one = serve_environment(tmp_path, {})
    names = [name for name in one if name.endswith("_PORT") and "DIRECT_INGRESS" not in name]
    assert "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT" in names
    with ExitStack() as running:
        for port in {int(one[name]) for name in names}:
            running.enter_context(socket.create_server(("127.0.0.1", port)))
        other = serve_environment(tmp_path, {})
    assert {one[name] for name in names}.isdisjoint(other[name] for name in names)


def test_haproxy_keeps_its_files_in_the_clusters_own_folder(tmp_path: Path) -> None:
    environment = serve_environment(tmp_path, {"PATH": "/bin"})
    files = [value for name, value in environment.items() if name.endswith(("_LOC", "_PATH", "_FILE", "_BASE"))]
    places = [value for value in files if value.startswith("/")]
    assert places
    assert all(Path(place).is_relative_to(tmp_path) for place in places)
    assert environment["PATH"] == "/bin"


def test_a_port_in_use_is_refused_by_name_and_number(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with pytest.raises(ClusterError, match=f"port {taken} for dashboard is in use"):
            Ports(serve=0, dashboard=taken, gcs=0, mlflow=0).chosen()


def test_a_port_of_0_becomes_a_free_one() -> None:
    chosen = Ports.free().chosen()
    assert len({chosen.serve, chosen.dashboard, chosen.gcs, chosen.mlflow}) == 4
    assert 0 not in (chosen.serve, chosen.dashboard, chosen.gcs, chosen.mlflow)
