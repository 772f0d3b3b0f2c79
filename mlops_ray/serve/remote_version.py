"""A version in other processes, as the champion's replica sees it: many requests in one call, an outcome for each."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import PredictionError
from mlops_ray.serve.predicted import Predicted

__all__ = ["NO_ROOM", "Outcome", "RemoteVersion", "no_room", "predicted_of"]

_FEW_ROWS = 16
Matrix = NDArray[np.float64]
Outcome = tuple[NDArray[np.float64] | None, str | None, float, float]
"""Of one request: its scores (n,) or (n, classes), or None, why there are none, and its milliseconds in the queue and
in the model.

Neither scores nor a reason: nobody looked at it, for want of room.
"""
NO_ROOM: Outcome = (None, None, 0.0, 0.0)


class RemoteVersion(Protocol):
    """Predictions of a version that lives in other processes."""

    @property
    def compared(self) -> bool:
        """Whether what becomes of a request now is evidence, for it and for the champion beside it.

        It is not while replicas may have gone for want of requests.
        """
        ...

    async def predict_many(self, matrices: Sequence[Matrix], left_s: Sequence[float]) -> Sequence[Outcome]:
        """One outcome for each request (n, d), in their order; `left_s` is how long each of them is of use.

        One bad request harms no other. Whatever goes wrong with the call as a whole is raised.
        """
        ...


def no_room(outcome: Any) -> bool:
    """Whether the version had no room to look at the request."""
    return isinstance(outcome, tuple) and len(outcome) == len(NO_ROOM) and outcome[0] is None and outcome[1] is None


def predicted_of(outcome: Any, rows: int, who: str, *, each: tuple[int, ...] = ()) -> Predicted:
    """The prediction in an outcome for a request of so many rows; `each` is the shape of the answer to one.

    Raises:
        PredictionError: there is none, or it is no prediction of these rows. Another process made it: nothing about it
            is taken for granted.
    """
    try:
        scores, error, queue_ms, predict_ms = outcome
        if error is not None:
            raise PredictionError(str(error))
        if scores is None:
            raise PredictionError(f"{who} has no room for the request")
        predicted = Predicted(np.asarray(scores, dtype=np.float64), float(queue_ms), float(predict_ms))
    except (TypeError, ValueError):
        raise PredictionError(f"{who} answered something that is no prediction") from None
    if predicted.scores.shape != (rows, *each) or not _finite(predicted.scores):
        raise PredictionError(f"{who} answered something that is no prediction")
    return predicted


def _finite(scores: NDArray[np.float64]) -> bool:
    # For a few rows Python's own numbers are several times as fast.
    return (
        all(map(math.isfinite, scores.tolist()))
        if scores.ndim == 1 and len(scores) <= _FEW_ROWS
        else bool(np.isfinite(scores).all())
    )
