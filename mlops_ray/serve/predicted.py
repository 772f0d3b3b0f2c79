"""The scores of one request, and how long the model took for them."""

from typing import Any

import msgspec
import numpy as np

__all__ = ["Predicted"]


class Predicted(msgspec.Struct, frozen=True, gc=False):
    """Scores (n,) or (n, classes) float64; times in milliseconds."""

    scores: np.ndarray[Any, np.dtype[np.float64]]
    queue_ms: float
    """From asking to the beginning of the predict call."""
    predict_ms: float
    """Of the predict call that the rows went through, whoever else's rows were in it."""
