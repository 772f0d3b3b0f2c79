import json
from collections.abc import Callable, Mapping
from typing import Any

import lightgbm
import pytest

from mlops_ray.model import TrainedModel
from mlops_ray.train import TrialContext, train_lightgbm

ContextOf = Callable[..., TrialContext]
EQUAL: list[dict[str, Any]] = [
    {},
    {"feature_fraction": 0.5},
    {"min_data_in_leaf": 3, "lambda_l1": 0.1, "path_smooth": 1.0, "max_depth": 4},
    {"learning_rate": 0.7, "early_stopping_rounds": 6},
    {"boosting": "dart"},
]
OTHER_LOTS: list[dict[str, Any]] = [
    {"bagging_fraction": 0.6, "bagging_freq": 1},
    {"data_sample_strategy": "goss"},
    {"extra_trees": True},
]


class Interrupted:
    """Trainings whose every checkpoint is kept."""

    def __init__(self, context_of: ContextOf, **fields: Any) -> None:
        self._make = lambda **more: context_of(**fields, **more, checkpoint=self._keep, report=self._note)
        self.steps: list[int] = []
        self.states: dict[int, bytes] = {}

    def _note(self, iteration: int, _: Mapping[str, float]) -> None:
        self.steps.append(iteration)

    def _keep(self, iteration: int, metrics: Mapping[str, float], state: Callable[[], bytes]) -> None:
        self._note(iteration, metrics)
        self.states[iteration] = state()

    def whole(self) -> TrainedModel:
        """Without an interruption."""
        return train_lightgbm(self._make())

    def gone_on(self, iteration: int) -> TrainedModel:
        """From the checkpoint at `iteration`."""
        return train_lightgbm(self._make(resume=self.states.get(iteration)))


@pytest.mark.parametrize("params", EQUAL, ids=json.dumps)
@pytest.mark.parametrize("data_id", [None, "shared"])
def test_a_trial_that_goes_on_makes_the_same_model_to_the_bit(
    context_of: ContextOf, params: dict[str, Any], data_id: str | None
) -> None:
    trial = Interrupted(context_of, params=params, data_id=data_id, max_iterations=45)
    whole, steps = trial.whole(), trial.steps
    for iteration in (3, 9, steps[-1]):
        trial.steps = []
        assert trial.gone_on(iteration) == whole, iteration
        if iteration in trial.states:
            assert trial.steps == [step for step in steps if step > iteration]


@pytest.mark.parametrize(("metric", "task"), [("log_loss", "binary"), ("brier", "binary"), ("mae", "regression")])
def test_it_does_so_by_every_metric(context_of: ContextOf, metric: str, task: str) -> None:
    trial = Interrupted(context_of, metric=metric, task=task, maximize=False, max_iterations=45)
    whole = trial.whole()
    assert trial.gone_on(12) == whole


@pytest.mark.parametrize("params", OTHER_LOTS, ids=json.dumps)
def test_one_that_draws_rows_keeps_its_trees_and_goes_on_with_other_lots(
    context_of: ContextOf, params: dict[str, Any]
) -> None:
    trial = Interrupted(context_of, params={**params, "early_stopping_rounds": 99}, max_iterations=30)
    whole, gone_on = (trees(model) for model in (trial.whole(), trial.gone_on(14)))
    assert gone_on[:14] == whole[:14]
    assert len(gone_on) > 14


def trees(model: TrainedModel) -> list[Any]:
    booster = lightgbm.Booster(model_str=model.files["model.lgb.txt"].decode())
    return [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]


def test_the_rounds_without_getting_better_before_it_count(context_of: ContextOf) -> None:
    trial = Interrupted(context_of, params={"learning_rate": 0.9, "early_stopping_rounds": 8}, max_iterations=90)
    whole = trial.whole()
    last = trial.steps[-1]
    assert last < 84  # it stopped early
    trial.steps = []
    assert trial.gone_on(last) == whole
    assert trial.steps == []
