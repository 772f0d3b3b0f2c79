"""When a replica is to be replaced although it answers: a predict call hangs on its thread."""

from mlops_ray.errors import PredictionError
from mlops_ray.spec import Serve

__all__ = ["check_predicting"]

_HANGS_S = 10.0
_HANGS_DEADLINES = 5


def check_predicting(busy_s: float, serve: Serve) -> None:
    """Look at how long the longest predict call of a replica has been running.

    Raises:
        PredictionError: longer than 10 s and than five deadlines; nobody waits for its answer any more, and whatever
            comes after it waits in vain.
    """
    limit_s = max(_HANGS_S, _HANGS_DEADLINES * serve.deadline_ms / 1000)
    if busy_s > limit_s:
        raise PredictionError(f"a predict call has been running for {busy_s:.0f} s, more than {limit_s:g} s: it hangs")
