"""Fixtures every test may use: one Ray cluster per session, and an empty workspace per test."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mlops_ray.spec import Workspace

# The machines tests run on are shared: a slow example says nothing.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace that keeps everything under the test's own folder."""
    return Workspace.at(tmp_path / "home")


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """A real local Ray cluster, its address; started once, on ports of its own."""
    import ray

    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"
    with tempfile.TemporaryDirectory(prefix="mr", dir="/tmp") as folder:
        context = ray.init(
            num_cpus=4,
            include_dashboard=False,
            namespace="mlops_ray",
            object_store_memory=300_000_000,
            _temp_dir=folder,
            log_to_driver=False,
        )
        yield context.address_info["address"]
        ray.shutdown()
