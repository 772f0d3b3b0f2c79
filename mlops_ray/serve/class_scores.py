"""Scores of several requests as columns of their records: one number for each row, and what there is beside it."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlops_ray.model import Signature

__all__ = ["class_columns", "condensed"]

Scores = NDArray[np.float64]
_LIST = pa.list_(pa.float32())


def condensed(signature: Signature, scores: Sequence[Scores]) -> Scores:
    """One number (n,) for each row of these requests: its score, or the place of its likeliest class; NaN without."""
    return np.concatenate([signature.condensed(own) for own in scores])


def class_columns(scores: Sequence[Scores]) -> tuple[pa.Array, pa.Array]:
    """The probability of the likeliest class and those of all classes, null where a row has none."""
    rows = sum(map(len, scores))
    several = [own for own in scores if own.ndim == 2]
    if not several:
        return pa.nulls(rows, pa.float64()), pa.nulls(rows, _LIST)
    likeliest = np.concatenate([own.max(axis=1) if own.ndim == 2 else own for own in scores])
    counts = np.repeat([own.shape[1] if own.ndim == 2 else 0 for own in scores], [len(own) for own in scores])
    ends = pa.array(np.concatenate(([0], np.cumsum(counts))), pa.int32())
    values = pa.array(np.concatenate([own.reshape(-1) for own in several]), pa.float32())
    return pa.array(likeliest, from_pandas=True), pa.ListArray.from_arrays(ends, values, mask=pa.array(counts == 0))
