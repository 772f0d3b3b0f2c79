"""The pictures a person expects of a training, as PNG files with their numbers as JSON beside them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_ray.evaluation import score
from mlops_ray.model import Predictor, Signature, TrainedModel
from mlops_ray.model.trained import LIGHTGBM_FILE
from mlops_ray.spec import Train
from mlops_ray.train import plot_data
from mlops_ray.train.draw import DRAWINGS
from mlops_ray.train.sweep_log import TrialLog
from mlops_ray.train.training_data import Part

__all__ = ["Evidence", "write_plots"]

_PERMUTED_ROWS = 1000
_PERMUTED_COLUMNS = 200


@dataclass(frozen=True)
class Evidence:
    """What the plots show."""

    train: Train
    signature: Signature
    holdout: Part
    predictions: NDArray[np.float64]  # (rows,) or (rows, classes) of the holdout
    model: TrainedModel
    predictor: Predictor
    trials: Sequence[TrialLog]


def write_plots(folder: Path, evidence: Evidence, *, progress: Callable[[str], None]) -> None:
    """Write `<name>.png` and `<name>.json` of every plot that fits the task into `folder`, which is made."""
    folder.mkdir(parents=True)
    for name, numbers_of in _PLOTS.items():
        try:
            numbers = numbers_of(evidence)
            if numbers is None:
                continue
            (folder / f"{name}.json").write_text(json.dumps(numbers), encoding="utf-8")
            (folder / f"{name}.png").write_bytes(DRAWINGS[name](numbers))
        except Exception as error:  # noqa: BLE001 - a picture that fails is no reason to lose a trained model
            progress(f"plot {name} could not be drawn: {type(error).__name__}: {error}")


def _importance(evidence: Evidence) -> Mapping[str, Any] | None:
    names = evidence.signature.names
    if evidence.model.flavor == "lightgbm":
        # here, because other flavors do without it
        import lightgbm

        booster = lightgbm.Booster(model_str=evidence.model.files[LIGHTGBM_FILE].decode())
        return plot_data.ranked(names, booster.feature_importance("gain").tolist(), kind="gain")
    x, y = evidence.holdout.x[:_PERMUTED_ROWS], evidence.holdout.y[:_PERMUTED_ROWS]
    if evidence.holdout.pictures is not None or x.shape[1] > _PERMUTED_COLUMNS:
        return None
    metric, maximize = evidence.train.metric, evidence.train.maximize
    drops = plot_data.permutation_drop(
        x,
        lambda matrix: score(metric, y, np.asarray(evidence.predictor.predict(matrix), dtype=np.float64)),
        maximize=maximize,
        seed=evidence.train.seed,
    )
    return plot_data.ranked(names, drops, kind=f"{metric} lost when the column is shuffled")


def _confusion(evidence: Evidence) -> Mapping[str, Any] | None:
    y, predictions = evidence.holdout.y, evidence.predictions
    if evidence.train.task == "multiclass":
        return plot_data.confusion_of_classes(y, predictions, evidence.signature.classes)
    return plot_data.confusion(y, predictions) if evidence.train.task == "binary" else None


def _of_task(
    task: str, numbers: Callable[[NDArray[np.float64], NDArray[np.float64]], dict[str, Any]]
) -> Callable[[Evidence], Mapping[str, Any] | None]:
    def of_holdout(evidence: Evidence) -> Mapping[str, Any] | None:
        return numbers(evidence.holdout.y, evidence.predictions) if evidence.train.task == task else None

    return of_holdout


def _search(evidence: Evidence) -> Mapping[str, Any] | None:
    numbers = plot_data.parallel(evidence.trials, metric=evidence.train.metric)
    return numbers | {"maximize": evidence.train.maximize} if numbers["parameters"] else None


_PLOTS: Mapping[str, Callable[[Evidence], Mapping[str, Any] | None]] = {
    "learning_curves": lambda evidence: plot_data.curves(evidence.trials) | {"metric": evidence.train.metric},
    "feature_importance": _importance,
    "confusion_matrix": _confusion,
    "roc": _of_task("binary", plot_data.roc),
    "precision_recall": _of_task("binary", plot_data.precision_recall),
    "calibration": _of_task("binary", plot_data.calibration),
    "predicted_and_actual": _of_task("regression", plot_data.residuals),
    "residuals": _of_task("regression", plot_data.residuals),
    "search": _search,
    "search_contour": _search,
}
