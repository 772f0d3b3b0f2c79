"""Fixtures every test may use: one Ray cluster per session, and an empty workspace per test."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mlops_ray.spec import Workspace

pytest_plugins = ["tests.s3_server"]

# The machines tests run on are shared: a slow example says nothing.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace that keeps everything under the test's own folder."""
    return Workspace.at(tmp_path / "home")


@pytest.fixture(scope="session")
def live() -> Iterator[Workspace]:
    """The one cluster of the session, as `mlops-ray up` starts it; this process is connected to it."""
    # ray: seconds to import, and most tests need none of it
    from mlops_ray.control.local_cluster import LocalCluster, Ports, free_port

    with tempfile.TemporaryDirectory(prefix="mlops-ray-test-") as folder, pytest.MonkeyPatch.context() as patch:
        # Replicas import predictor classes of the tests.
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
        cluster = LocalCluster(Workspace.at(folder, grpc_port=str(free_port())))
        try:
            yield cluster.up(Ports.free(), cpus=6, mlflow_ui=False, progress=lambda _: None)
        finally:
            cluster.down()


@pytest.fixture(scope="session")
def ray_cluster(live: Workspace) -> str:
    """The address of the session's cluster, for tests that only need Ray."""
    return live.ray_address
