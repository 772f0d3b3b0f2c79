"""How much each feature moves the answers of a new model, for the monitor to hold later windows against."""

import numpy as np

from mlops_ray.drift import AttributionReference, attribution_reference
from mlops_ray.model import CHEAP_METHODS, Predictor, explainer_for, why_not
from mlops_ray.spec import ModelSpec
from mlops_ray.train.training_data import TrainingData

__all__ = ["attribution_of"]

_ROWS = 500
_BACKGROUND_ROWS = 1000


def attribution_of(
    spec: ModelSpec, data: TrainingData, flavor: str, predictor: Predictor
) -> AttributionReference | None:
    """From up to 500 rows of the training, spread over its time. None where the spec wants none, or leaves it open and
    the model has no method that is exact and cheap.
    """
    wanted = spec.monitor.attribution.enabled
    if wanted is False or why_not(data.signature) is not None or not len(data.in_time):
        return None
    known = data.in_time
    explainer = explainer_for(flavor, predictor, data.signature, known[_spread(len(known), _BACKGROUND_ROWS)])
    if wanted is None and explainer.method not in CHEAP_METHODS:
        return None
    rows = known[_spread(len(known), _ROWS if explainer.exact else spec.monitor.attribution.rows)]
    contributions = explainer.explain(rows).contributions
    return attribution_reference(
        data.signature.names, contributions, method=explainer.method, exact=explainer.exact, seed=spec.train.seed
    )


def _spread(count: int, wanted: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """At most `wanted` places of `count`, in order, as far from each other as they can be."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(np.int64))
