"""The scores of one request and how long the model took for them, or the status of a request without any."""

from typing import Any

import msgspec
import numpy as np

from mlops_ray.errors import DeadlineError, PredictionError, RequestError

__all__ = ["Predicted", "status_of"]


class Predicted(msgspec.Struct, frozen=True, gc=False):
    """Scores (n,) or (n, classes) float64; times in milliseconds."""

    scores: np.ndarray[Any, np.dtype[np.float64]]
    queue_ms: float
    """From asking to the beginning of the predict call."""
    predict_ms: float
    """Of the predict call that the rows went through, whoever else's rows were in it."""


def status_of(failure: PredictionError | RequestError) -> int:
    """What a client is told."""
    if isinstance(failure, RequestError):
        return failure.status
    return 504 if isinstance(failure, DeadlineError) else 500
