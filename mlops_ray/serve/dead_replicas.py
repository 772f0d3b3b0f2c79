"""Asks Ray which replicas of a version's application died by themselves."""

import logging
from collections.abc import Mapping
from typing import Any

import ray
from ray.util.state import list_actors
from ray.util.state.exception import RayStateApiException

from mlops_ray.serve.application import VERSION

__all__ = ["DeadReplicas", "died_by_itself"]

_log = logging.getLogger(__name__)
_TIMEOUT_S = 5
_AT_MOST = 1_000


class DeadReplicas:
    """Counts them; a question costs some ten milliseconds."""

    def __init__(self) -> None:
        self._serve_job: str | None = None

    def __call__(self, app: str) -> int | None:
        """How many there were, ever; None when Ray does not say now."""
        # Several clusters may run on one host: without an address Ray would not know which is meant.
        address = ray.get_runtime_context().gcs_address
        try:
            if self._serve_job is None:
                controllers = list_actors(
                    address=address, filters=[("class_name", "=", "ServeController")], timeout=_TIMEOUT_S
                )
                self._serve_job = controllers[0].job_id if controllers else None
            if self._serve_job is None:
                return 0
            wanted = [
                ("class_name", "=", f"ServeReplica:{app}:{VERSION}"),
                ("state", "=", "DEAD"),
                # of all the dead, those of trainings are not even looked at
                ("job_id", "=", self._serve_job),
            ]
            dead = list_actors(
                address, filters=wanted, limit=_AT_MOST, timeout=_TIMEOUT_S, detail=True, raise_on_missing_output=False
            )
        except (RayStateApiException, ConnectionError) as error:
            _log.warning("dead replicas of %s are not known now: %s", app, str(error).splitlines()[0])
            return None
        return sum(died_by_itself(actor.death_cause) for actor in dead)


def died_by_itself(cause: Mapping[str, Any] | None) -> bool:
    """Whether an actor's process ended, for want of memory or otherwise: not killed by Serve, nor with its node.

    >>> died_by_itself({"actor_died_error_context": {"reason": "WORKER_DIED"}})
    True
    >>> died_by_itself({"actor_died_error_context": {"reason": "RAY_KILL"}}), died_by_itself(None)
    (False, False)
    """
    if not cause:
        return False
    return "oom_context" in cause or cause.get("actor_died_error_context", {}).get("reason") == "WORKER_DIED"
