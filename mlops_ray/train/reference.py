"""What the drift actor holds served traffic against: made of the training rows when a version is registered."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift import ReferenceProfile, block_auc, build_reference
from mlops_ray.model import Signature, TrainedModel
from mlops_ray.model.trained import LIGHTGBM_FILE
from mlops_ray.train.training_data import TrainingData

__all__ = ["importance_of", "reference_of"]


def reference_of(
    data: TrainingData, predictions: NDArray[np.float64], *, shares: Mapping[str, float], window_s: float
) -> ReferenceProfile:
    """Features as the model was trained on them; predictions on rows it was not trained on, as in production.

    Args:
        data: the rows.
        predictions: of the holdout, (n,) or (n, classes).
        shares: what the model relies on, by feature.
        window_s: length of the windows that will be judged.
    """
    signature = data.signature
    features = build_reference(signature.columns(), data.in_time, times_s=data.in_time_s, window_s=window_s)
    answers, times_s = signature.condensed(predictions)[:, None], data.holdout_s
    if times_s is not None:
        order = np.argsort(times_s, kind="stable")
        answers, times_s = answers[order], times_s[order]
    prediction = build_reference(
        [signature.prediction_column()], answers, times_s=times_s, window_s=window_s, season=features.season
    )
    whole = ReferenceProfile(
        rows=features.rows,
        features=(*features.features, *prediction.features),
        season=features.season or prediction.season,
        block_auc=block_auc(data.in_time, seed=0),
    )
    return whole.with_importance(shares)


def importance_of(model: TrainedModel, signature: Signature) -> dict[str, float]:
    """By feature the share of the gain of a LightGBM model's splits; nothing of other models."""
    if model.flavor != "lightgbm":
        return {}
    # here, because other flavors do without it
    import lightgbm

    booster = lightgbm.Booster(model_str=model.files[LIGHTGBM_FILE].decode())
    gain = np.asarray(booster.feature_importance("gain"), dtype=np.float64)
    if not gain.sum() > 0:
        return {}
    return dict(zip(signature.names, (gain / gain.sum()).tolist(), strict=True))
