import doctest
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlops_ray.model import TrainedModel
from mlops_ray.spec import Train
from mlops_ray.train import TrialContext, plot_data, train_lightgbm
from mlops_ray.train.plots import Evidence, write_plots
from mlops_ray.train.sweep_log import TrialLog
from mlops_ray.train.training_data import TrainingData
from mlops_ray.train.trial import load_model

BINARY = {"calibration", "confusion_matrix", "precision_recall", "roc"}
REGRESSION = {"predicted_and_actual", "residuals"}
ALWAYS = {"feature_importance", "learning_curves", "search", "search_contour"}


def trial(number: int, outcome: str = "completed", **params: object) -> TrialLog:
    curve = [(step, 0.5 + step / 100 + number / 1000) for step in range(1, 6)]
    return TrialLog(number, f"t{number}", params, value=curve[-1][1], outcome=outcome, curve=curve)


TRIALS = [trial(i, num_leaves=i, learning_rate=10.0**-i, boosting="gbdt" if i % 2 else "dart") for i in range(1, 7)]


@pytest.fixture
def evidence_of(
    prepared: TrainingData, context_of: Callable[..., TrialContext], tmp_path: Path
) -> Callable[..., Evidence]:
    """What the plots of a trained model show; `change` makes another model of it."""

    def make(task: str = "binary", change: Callable[[TrainedModel], TrainedModel] = lambda model: model) -> Evidence:
        train = Train.model_validate({"task": task, "metric": "auc" if task == "binary" else "rmse"})
        model = train_lightgbm(context_of(task=task, metric=train.metric, maximize=train.maximize))
        predictor = load_model(model, tmp_path / "model")
        predictions = np.asarray(predictor.predict(prepared.holdout.x))
        return Evidence(train, prepared.signature, prepared.holdout, predictions, change(model), predictor, TRIALS)

    return make


def written(folder: Path) -> set[str]:
    """Names of the plots, each a picture with its numbers beside it."""
    names = {file.stem for file in folder.glob("*.png")}
    assert names == {file.stem for file in folder.glob("*.json")}
    for name in names:
        content = (folder / f"{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", content[16:24])
        assert min(width, height) > 300
    return names


@pytest.mark.parametrize(("task", "names"), [("binary", BINARY), ("regression", REGRESSION)])
def test_every_plot_of_the_task_is_drawn(
    evidence_of: Callable[..., Evidence], tmp_path: Path, task: str, names: set[str]
) -> None:
    said: list[str] = []
    write_plots(tmp_path / "plots", evidence_of(task), progress=said.append)
    assert said == []
    assert written(tmp_path / "plots") == ALWAYS | names


def test_the_importance_of_another_model_comes_from_shuffled_columns(
    evidence_of: Callable[..., Evidence], tmp_path: Path
) -> None:
    evidence = evidence_of(change=lambda model: TrainedModel("python", model.files))
    write_plots(tmp_path / "plots", evidence, progress=lambda _: None)
    importance = json.loads((tmp_path / "plots" / "feature_importance.json").read_text())
    assert importance["kind"] == "auc lost when the column is shuffled"
    assert importance["features"][0] in ("tenure", "charges")
    assert importance["features"][-1] == "autopay"


def test_a_plot_that_cannot_be_drawn_is_told_and_the_others_are_there(
    evidence_of: Callable[..., Evidence], tmp_path: Path
) -> None:
    said: list[str] = []
    evidence = evidence_of(change=lambda _: TrainedModel("lightgbm", {}))
    write_plots(tmp_path / "plots", evidence, progress=said.append)
    assert said == ["plot feature_importance could not be drawn: KeyError: 'model.lgb.txt'"]
    assert "roc" in written(tmp_path / "plots")


def test_the_numbers_of_the_curves_are_right() -> None:
    assert doctest.testmod(plot_data).failed == 0
    assert doctest.testmod(plot_data).attempted >= 3


def test_equal_predictions_are_one_point_of_a_curve() -> None:
    curve = plot_data.roc(np.array([0.0, 1.0, 0.0, 1.0]), np.full(4, 0.5))
    assert (curve["false_positive_rate"], curve["true_positive_rate"]) == ([0.0, 1.0], [0.0, 1.0])


def test_hyperparameters_that_never_change_are_no_part_of_the_search() -> None:
    trials = [trial(1, num_leaves=3, fixed=7), trial(2, num_leaves=4, fixed=7)]
    assert plot_data.parallel(trials, metric="auc")["parameters"] == ["num_leaves"]


def test_a_trial_without_a_finite_value_is_left_out_of_the_search() -> None:
    lost = TrialLog(3, "t3", {"num_leaves": 9}, value=float("nan"))
    trials = [trial(1, num_leaves=3), lost]
    assert [t["number"] for t in plot_data.parallel(trials, metric="auc")["trials"]] == [1]
