"""Which older rows a retraining keeps, the fewer of a time the less that time resembles the newest one."""

import math

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlops_ray.drift import build_reference, fold, judge
from mlops_ray.evaluation import hashed_fraction
from mlops_ray.model import encode, signature_of
from mlops_ray.spec import ModelSpec, Thresholds

__all__ = ["kept_by_weight"]

_SCALE = 0.1
"""Jensen-Shannon divergence, in bits and mean over the features, at which a weight has fallen to 1/e."""


def kept_by_weight(spec: ModelSpec, rows: pa.Table, *, newest: int) -> NDArray[np.bool_]:
    """Whether each row (n,), oldest first, is kept: all of the `newest`, of each earlier block of as many a share.

    The share is exp(-js / 0.1), with the mean Jensen-Shannon divergence of the features between the block and the
    newest one, which is bounded, so that one feature alone does not decide. Which rows make it up is decided by a hash
    of their place: a row is there once or not at all, so that no copy of a training row gets into the holdout. Trainers
    need no weights for that.
    """
    signature = signature_of(spec, rows)
    matrix, total = encode(signature, rows), rows.num_rows
    kept = np.ones(total, dtype=bool)
    border = total - newest
    if border <= 0:
        return kept
    reference = build_reference(signature.columns(), matrix[border:])
    chance = hashed_fraction([str(place) for place in range(total)], salt=f"{spec.name} weighted")
    for end in range(border, 0, -newest):
        start = max(0, end - newest)
        report = judge(reference, fold(reference, matrix[start:end]), Thresholds(), min_rows=1)
        js = float(np.mean([feature.js for feature in report.features]))
        kept[start:end] = chance[start:end] < math.exp(-js / _SCALE)
    return kept
