"""Which explainer a model gets: an exact one where there is one, gradients for torch, sampled orders for the rest."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift import rebuilt_rows
from mlops_ray.errors import ModelError
from mlops_ray.model.bundle import Bundle
from mlops_ray.model.explanation import Explainer
from mlops_ray.model.load import load_bundle, read_probe
from mlops_ray.model.sampling_explainer import SamplingExplainer

__all__ = ["explainer_of", "load_explainer", "why_not"]

Matrix = NDArray[np.float64]

_BACKGROUND_ROWS = 1000
_CHECKED_ROWS = 8


def load_explainer(
    uri: str, *, cache: Path | None = None, digest: str | None = None, max_predictions: int = 2000
) -> tuple[Bundle, Explainer]:
    """The bundle at `uri`, loaded anew on the CPU for explanations only, and its explainer.

    Raises:
        ModelError: as `load_bundle`, or the model cannot be explained.
    """
    bundle = load_bundle(uri, cache=cache, digest=digest)
    probe = read_probe(uri)
    background = None if probe is None else probe.matrix
    return bundle, explainer_of(bundle, background, max_predictions=max_predictions)


def explainer_of(bundle: Bundle, background: Matrix | None, *, max_predictions: int = 2000) -> Explainer:
    """The explainer of a model. `background` (n, features) are rows of its training, made from its reference if None.

    Raises:
        ModelError: the model cannot be explained; it says why.
    """
    reason = why_not(bundle)
    if reason is not None:
        raise ModelError(reason)
    signature = bundle.signature
    if background is None or not len(background):
        background = rebuilt_rows(bundle.reference, _BACKGROUND_ROWS, seed=0)[:, : signature.width]
    found = _of_flavor(bundle, background)
    return found or SamplingExplainer(bundle.predict, signature, background, max_predictions=max_predictions)


def why_not(bundle: Bundle) -> str | None:
    """Why a model has no explanations; None where it has."""
    if bundle.signature.image is None:
        return None
    return "a model of pictures has no explanation by features: no contribution of single pixels says why it answers"


def _of_flavor(bundle: Bundle, background: Matrix) -> Explainer | None:
    # each flavor's library is imported only where a model of that flavor is loaded
    if bundle.manifest.flavor == "lightgbm":
        from mlops_ray.model.lightgbm_predictor import LightGBMPredictor
        from mlops_ray.model.tree_explainer import TreeExplainer

        assert isinstance(bundle.predictor, LightGBMPredictor)
        trees = TreeExplainer(bundle.predictor.booster, bundle.signature)
        return trees if trees.adds_up(background[:_CHECKED_ROWS]) else None
    if bundle.manifest.flavor == "torch":
        return _of_net(bundle, background)
    if bundle.manifest.flavor == "sklearn":
        from mlops_ray.model.linear_explainer import LinearExplainer
        from mlops_ray.model.sklearn_predictor import SklearnPredictor

        assert isinstance(bundle.predictor, SklearnPredictor)
        return LinearExplainer.of(bundle.predictor.estimator, bundle.signature, background, bundle.predict)
    return None


def _of_net(bundle: Bundle, background: Matrix) -> Explainer | None:
    from mlops_ray.model.gradient_explainer import GradientExplainer, typical_row
    from mlops_ray.model.torch_predictor import TorchPredictor

    assert isinstance(bundle.predictor, TorchPredictor)
    start = typical_row(bundle.signature, background)
    try:
        bundle.predictor.gradients(start[None, :], 0 if bundle.signature.classes else None)
    except RuntimeError:  # a graph without derivatives
        return None
    return GradientExplainer(bundle.predictor, bundle.signature, start)
