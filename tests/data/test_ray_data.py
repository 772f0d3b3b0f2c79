"""Lists of values through Ray Data."""

import subprocess
import sys

import pytest

from mlops_ray.data.ray_data import run_tasks


@pytest.mark.usefixtures("ray_cluster")
def test_results_are_in_the_order_of_the_items() -> None:
    assert run_tasks(lambda item: (item, {"any": ["python", item]}), [3, 1, 2]) == [
        (item, {"any": ["python", item]}) for item in (3, 1, 2)
    ]


def test_without_a_connection_to_ray_it_says_so_instead_of_starting_a_cluster() -> None:
    code = "from mlops_ray.data.ray_data import run_tasks; run_tasks(str, [1])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ClusterError: expected a connection to a Ray cluster, found none" in process.stderr
