"""What Ray Serve is told about the replicas of a model, as a value; knows no Ray."""

from typing import Any

from mlops_ray.spec import Autoscaling, Serve

__all__ = ["deployment_options"]

_DRAINING_S = 30
_ROOM = 32


def deployment_options(config: Serve, autoscaling: Autoscaling) -> dict[str, Any]:
    """Keyword arguments of `ray.serve.deployment` for an application with these replicas.

    Where all replicas may go, one is started all the same: a version that cannot even start has to show it.
    """
    scaling: dict[str, Any]
    if autoscaling.min_replicas == autoscaling.max_replicas:
        scaling = {"num_replicas": autoscaling.min_replicas}
    else:
        first = {"initial_replicas": 1} if autoscaling.min_replicas == 0 else {}
        scaling = {"autoscaling_config": {**autoscaling.model_dump(), **first}}
    return {
        **scaling,
        "ray_actor_options": {"num_cpus": config.resources.cpus, "num_gpus": config.resources.gpus},
        # The replica counts its requests itself, and refuses what is too much as clients expect; Serve leaves room for
        # that, and for routes that are pushed while it happens.
        "max_ongoing_requests": config.max_ongoing_requests + _ROOM,
        "max_queued_requests": config.max_ongoing_requests,
        "backpressure_config": {"retry_after_s": 1},
        # A draining replica waits until nobody sends it requests (Serve's own default for that), finishes what it has
        # begun, and hands over its records; this is when it is killed at the latest.
        "graceful_shutdown_timeout_s": _DRAINING_S + config.deadline_ms / 1000 + 10,
        # Serve replaces a replica after three failures in a row
        "health_check_period_s": 5,
        # an update starts its replicas beside the old ones, and stops those when they are ready
        "max_surge_percent": 100,
        # Every request is in the record log; a line of text for each would cost a tenth of the time to answer it.
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
    }
