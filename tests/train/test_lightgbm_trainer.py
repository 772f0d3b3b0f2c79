from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from mlops_ray.errors import TrainError
from mlops_ray.evaluation import score
from mlops_ray.model import TrainedModel
from mlops_ray.model.predictor import Predictor
from mlops_ray.spec import Metric
from mlops_ray.train import TrialContext, train_lightgbm
from mlops_ray.train.lightgbm_trainer import check_lightgbm_params
from mlops_ray.train.trial import load_model

ContextOf = Callable[..., TrialContext]
Reports = list[tuple[int, dict[str, float]]]


def loaded(model: TrainedModel, folder: Path) -> Predictor:
    return load_model(model, folder)


def test_the_model_has_learnt_what_drives_the_label(context_of: ContextOf, tmp_path: Path) -> None:
    context = context_of()
    predictor = loaded(train_lightgbm(context), tmp_path)
    assert score("auc", context.y_valid, predictor.predict(context.x_valid)) > 0.85


def test_the_same_seed_gives_the_same_model(context_of: ContextOf) -> None:
    params = {"bagging_fraction": 0.6, "bagging_freq": 1}
    assert train_lightgbm(context_of(params=params)) == train_lightgbm(context_of(params=params))


def test_there_are_ten_to_twenty_reports_of_the_validation_metric(context_of: ContextOf) -> None:
    reports: Reports = []
    train_lightgbm(context_of(reports, max_iterations=100, params={"early_stopping_rounds": 200}))
    assert 10 <= len(reports) <= 20
    assert [iteration for iteration, _ in reports] == sorted({iteration for iteration, _ in reports})
    assert all(set(metrics) == {"auc"} for _, metrics in reports)


def test_a_reported_value_is_that_of_our_own_metric(context_of: ContextOf, tmp_path: Path) -> None:
    reports: Reports = []
    context = context_of(reports, max_iterations=5, params={"early_stopping_rounds": 100})
    booster = lightgbm.Booster(model_str=train_lightgbm(context).files["model.lgb.txt"].decode())
    rounds = booster.current_iteration()
    expected = score("auc", context.y_valid, np.asarray(booster.predict(context.x_valid)))
    assert reports[rounds - 1][1]["auc"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("metric", "maximize"), [("log_loss", False), ("brier", False), ("f1", True), ("accuracy", True)]
)
def test_every_binary_metric_can_decide_when_to_stop(
    context_of: ContextOf, metric: Metric, maximize: bool, tmp_path: Path
) -> None:
    reports: Reports = []
    context = context_of(reports, metric=metric, maximize=maximize)
    predictor = loaded(train_lightgbm(context), tmp_path)
    final = score(metric, context.y_valid, predictor.predict(context.x_valid))
    values = [metrics[metric] for _, metrics in reports]
    assert final >= max(values) - 1e-9 if maximize else final <= min(values) + 1e-9


@pytest.mark.parametrize(("metric", "maximize"), [("rmse", False), ("mae", False), ("r2", True)])
def test_a_regression_predicts_in_the_unit_of_the_label(
    context_of: ContextOf, metric: Metric, maximize: bool, tmp_path: Path
) -> None:
    context = context_of(task="regression", metric=metric, maximize=maximize)
    y_train, y_valid = 100 + 10 * context.x_train[:, 0], 100 + 10 * context.x_valid[:, 0]
    context = context_of(task="regression", metric=metric, maximize=maximize, y_train=y_train, y_valid=y_valid)
    predictor = loaded(train_lightgbm(context), tmp_path)
    assert score("r2", y_valid, predictor.predict(context.x_valid)) > 0.8


@pytest.mark.parametrize(
    ("metric", "maximize", "task"),
    [("auc", True, "binary"), ("log_loss", False, "binary"), ("f1", True, "binary"), ("mae", False, "regression")],
)
def test_the_trainer_knows_what_its_model_achieves(
    context_of: ContextOf, metric: Metric, maximize: bool, task: str, tmp_path: Path
) -> None:
    told: list[float] = []
    context = context_of(metric=metric, maximize=maximize, task=task, achieved=told.append)
    predictor = loaded(train_lightgbm(context), tmp_path)
    assert told == [pytest.approx(score(metric, context.y_valid, predictor.predict(context.x_valid)), abs=1e-9)]


def test_hyperparameters_reach_lightgbm(context_of: ContextOf) -> None:
    text = train_lightgbm(context_of(params={"num_leaves": 5})).files["model.lgb.txt"].decode()
    assert "[num_leaves: 5]" in text


def test_a_hyperparameter_lightgbm_does_not_know_is_refused() -> None:
    check_lightgbm_params(["num_leaves", "eta", "early_stopping_rounds"])
    with pytest.raises(TrainError, match="'num_leavez' is no parameter of LightGBM"):
        check_lightgbm_params(["num_leavez"])


@pytest.mark.parametrize("name", ["n_estimators", "num_iterations", "n_jobs", "random_state", "metrics"])
def test_what_the_spec_says_elsewhere_is_not_searched_over(name: str) -> None:
    with pytest.raises(TrainError, match=f"'{name}' is not searched over; .* of the spec says it"):
        check_lightgbm_params([name])
