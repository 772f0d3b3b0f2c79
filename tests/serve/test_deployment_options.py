from typing import Any

import pytest
from ray import serve

from mlops_ray.serve.deployment_options import deployment_options
from mlops_ray.spec import Autoscaling, CanaryAutoscaling, Serve


def options(autoscaling: Autoscaling | None = None, **fields: Any) -> dict[str, Any]:
    config = Serve(**fields)
    return deployment_options(config, autoscaling or config.autoscaling)


def test_equal_bounds_are_a_number_of_replicas() -> None:
    chosen = options(Autoscaling(min_replicas=3, max_replicas=3))
    assert chosen["num_replicas"] == 3
    assert "autoscaling_config" not in chosen


def test_different_bounds_are_autoscaling() -> None:
    chosen = options(Autoscaling(min_replicas=2, max_replicas=5, target_ongoing_requests=4))
    assert chosen["autoscaling_config"] == {
        "min_replicas": 2,
        "max_replicas": 5,
        "target_ongoing_requests": 4.0,
        "upscale_delay_s": 30.0,
        "downscale_delay_s": 600.0,
    }
    assert "num_replicas" not in chosen


def test_where_all_replicas_may_go_one_is_started_all_the_same() -> None:
    chosen = options(CanaryAutoscaling(min_replicas=0, max_replicas=2))
    assert (chosen["autoscaling_config"]["min_replicas"], chosen["autoscaling_config"]["initial_replicas"]) == (0, 1)


def test_resources_may_be_fractions_of_a_gpu() -> None:
    chosen = options(resources={"cpus": 2, "gpus": 0.25})
    assert chosen["ray_actor_options"] == {"num_cpus": 2.0, "num_gpus": 0.25}


@pytest.mark.parametrize("deadline_ms", [500, 90_000])
def test_a_replica_that_ends_finishes_what_it_has_begun(deadline_ms: float) -> None:
    assert options(deadline_ms=deadline_ms)["graceful_shutdown_timeout_s"] > deadline_ms / 1000


def test_an_update_starts_new_replicas_before_it_stops_old_ones() -> None:
    assert options()["max_surge_percent"] == 100


@pytest.mark.parametrize("autoscaling", [Autoscaling(), CanaryAutoscaling(min_replicas=0, max_replicas=1)])
def test_ray_serve_takes_them(autoscaling: Autoscaling) -> None:
    class Replica:
        """Does nothing."""

    deployment = serve.deployment(Replica).options(name="version", **options(autoscaling))
    assert deployment.name == "version"
