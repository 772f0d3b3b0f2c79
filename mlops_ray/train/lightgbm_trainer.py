"""The trainer `lightgbm`: gradient boosted trees; hyperparameters go to LightGBM as they are."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import TrainError
from mlops_ray.evaluation import score
from mlops_ray.model import TrainedModel
from mlops_ray.model.lightgbm_predictor import MODEL_FILE
from mlops_ray.spec import Metric, Task
from mlops_ray.train.binned import Datasets, shared_datasets
from mlops_ray.train.boosting import Boosting
from mlops_ray.train.trial_context import TrialContext

__all__ = ["check_lightgbm_params", "train_lightgbm"]

_OBJECTIVES: dict[Task, str] = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}
# metrics LightGBM computes itself, in its threads; the others come from mlops_ray.evaluation
_NATIVE: dict[Metric, str] = {"auc": "auc", "log_loss": "binary_logloss", "rmse": "rmse", "mae": "l1"}
_PATIENCE = "early_stopping_rounds"
# what other keys of the `train` section say
_OURS = {
    "num_iterations": "max_iterations",
    "metric": "metric",
    "num_threads": "resources.cpus",
    "seed": "seed",
    "categorical_feature": "data.features",
}


def train_lightgbm(context: TrialContext) -> TrainedModel:
    """Boost until the validation metric stops getting better; the model has the rounds up to the best one.

    `early_stopping_rounds` may be among the hyperparameters; it is a fifth of `max_iterations` otherwise, between 10
    and 50. A trial with `context.resume` goes on from there, as `Boosting` says how equally.
    """
    params = dict(context.params)
    patience = int(params.pop(_PATIENCE, min(50, max(10, context.max_iterations // 5))))
    native = (
        "multi_logloss" if context.metric == "log_loss" and context.signature.classes else _NATIVE.get(context.metric)
    )
    params = _parameters(context, params, native)
    boosting = Boosting(context, params, patience=patience)
    train, valid = _datasets(context, params)
    booster = lightgbm.train(
        params,
        train,
        num_boost_round=context.max_iterations,
        valid_sets=[valid],
        valid_names=["validation"],
        feval=None if native else partial(_score, context.metric, context.maximize),
        init_model=boosting.begun,
        callbacks=boosting.callbacks,
        keep_training_booster=True,  # otherwise its text would be made and read once more
    )
    text = booster.model_to_string(num_iteration=booster.best_iteration)
    return TrainedModel("lightgbm", {MODEL_FILE: text.encode()})


def check_lightgbm_params(names: Iterable[str]) -> None:
    """Look at the hyperparameters before any trial.

    Raises:
        TrainError: LightGBM does not know one, and would ignore it without a word; or the spec says it elsewhere.
    """
    # private, but the one place that has the list of the installed version; without it nothing is refused
    known = getattr(lightgbm.basic, "_ConfigAliases", None)
    if known is None:
        return
    canonical = {alias: name for name, all_ in known._get_all_param_aliases().items() for alias in (name, *all_)}
    for name in names:
        if name not in canonical and name != _PATIENCE:
            raise TrainError(f"train.space: {name!r} is no parameter of LightGBM {lightgbm.__version__}")
        elsewhere = _OURS.get(canonical.get(name, ""))
        if elsewhere:
            raise TrainError(f"train.space: {name!r} is not searched over; {elsewhere} of the spec says it")


def _parameters(context: TrialContext, params: dict[str, Any], native: str | None) -> dict[str, Any]:
    defaults = {
        "learning_rate": 0.1,
        "num_leaves": 31,
        "objective": _OBJECTIVES[context.task],
        # otherwise the bins would depend on min_data_in_leaf, and no two trials that search over it could share them
        "feature_pre_filter": False,
    }
    fixed = {
        "metric": native or "None",
        "num_threads": context.threads,
        "seed": context.seed,
        "deterministic": True,
        "force_row_wise": True,  # deterministic wants one of the two layouts fixed
        "verbose": -1,
    }
    if context.signature.classes:
        fixed |= {"num_class": len(context.signature.classes)}
    if context.network:
        fixed |= {"tree_learner": "data", "pre_partition": True, **context.network}
    return {**defaults, **params, **fixed}


def _datasets(context: TrialContext, params: Mapping[str, Any]) -> Datasets:
    """The data in LightGBM's form, shared with other trials where it may be."""

    def make() -> Datasets:
        # the same for both: LightGBM takes a difference for a change, which binned data cannot follow
        how: dict[str, Any] = {"categorical_feature": list(context.categorical), "params": dict(params)}
        how["free_raw_data"] = context.resume is None
        train = lightgbm.Dataset(context.x_train, context.y_train, **how)
        return train, lightgbm.Dataset(context.x_valid, context.y_valid, reference=train, **how)

    # workers of one trial bin together, through LightGBM's own network; trees that are there are asked about raw rows
    if context.data_id is None or context.network or context.resume is not None:
        return make()
    return shared_datasets(context.data_id, params, make, categorical=context.categorical)


def _score(
    metric: Metric, maximize: bool, predictions: NDArray[np.float64], data: lightgbm.Dataset
) -> tuple[str, float, bool]:
    return metric, score(metric, np.asarray(data.get_label(), dtype=np.float64), predictions), maximize
