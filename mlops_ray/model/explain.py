"""Which explainer a model gets: an exact one where there is one, gradients for torch, sampled orders for the rest."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift import rebuilt_rows
from mlops_ray.errors import ModelError
from mlops_ray.model.bundle import Bundle
from mlops_ray.model.explanation import Explainer
from mlops_ray.model.load import load_bundle, read_probe
from mlops_ray.model.predictor import Predictor
from mlops_ray.model.sampling_explainer import SamplingExplainer
from mlops_ray.model.signature import Signature

__all__ = ["CHEAP_METHODS", "explainer_for", "explainer_of", "load_explainer", "why_not"]

Matrix = NDArray[np.float64]

CHEAP_METHODS = ("tree_shap", "linear")
"""Exact ones that take at most some milliseconds a row."""
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
    if background is None or not len(background):
        background = rebuilt_rows(bundle.reference, _BACKGROUND_ROWS, seed=0)[:, : len(bundle.signature.inputs)]
    return explainer_for(
        bundle.manifest.flavor, bundle.predictor, bundle.signature, background, max_predictions=max_predictions
    )


def explainer_for(
    flavor: str, predictor: Predictor, signature: Signature, background: Matrix, *, max_predictions: int = 2000
) -> Explainer:
    """The explainer of a model that is no bundle yet; see `explainer_of`."""
    reason = why_not(signature)
    if reason is not None:
        raise ModelError(reason)
    found = _of_flavor(flavor, predictor, signature, background)
    return found or SamplingExplainer(
        lambda rows: np.asarray(predictor.predict(rows), dtype=np.float64),
        signature,
        background,
        max_predictions=max_predictions,
    )


def why_not(signature: Signature) -> str | None:
    """Why a model has no explanations; None where it has."""
    if signature.image is None:
        return None
    return "a model of pictures has no explanation by features: no contribution of single pixels says why it answers"


def _of_flavor(flavor: str, predictor: Predictor, signature: Signature, background: Matrix) -> Explainer | None:
    # each flavor's library is imported only where a model of that flavor is loaded
    if flavor == "lightgbm":
        from mlops_ray.model.lightgbm_predictor import LightGBMPredictor
        from mlops_ray.model.tree_explainer import TreeExplainer

        assert isinstance(predictor, LightGBMPredictor)
        trees = TreeExplainer(predictor.booster, signature)
        return trees if trees.adds_up(background[:_CHECKED_ROWS]) else None
    if flavor == "torch":
        return _of_net(predictor, signature, background)
    if flavor == "sklearn":
        from mlops_ray.model.linear_explainer import LinearExplainer
        from mlops_ray.model.sklearn_predictor import SklearnPredictor

        assert isinstance(predictor, SklearnPredictor)
        return LinearExplainer.of(predictor.estimator, signature, background, predictor.predict)
    return None


def _of_net(predictor: Predictor, signature: Signature, background: Matrix) -> Explainer | None:
    from mlops_ray.model.gradient_explainer import GradientExplainer, typical_row
    from mlops_ray.model.torch_predictor import TorchPredictor

    assert isinstance(predictor, TorchPredictor)
    start = typical_row(signature, background)
    try:
        predictor.gradients(start[None, :], 0 if signature.classes else None)
    except RuntimeError:  # a graph without derivatives
        return None
    return GradientExplainer(predictor, signature, start)
