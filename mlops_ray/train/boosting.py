"""How far the boosting of a LightGBM trial is: its best round, when it ends, and what it can go on from."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import lightgbm
from lightgbm.callback import CallbackEnv, EarlyStopException

from mlops_ray.train.trial_context import TrialContext

__all__ = ["Boosting"]

_KINDS = ("boosting", "boosting_type", "boost")
# dart changes old trees and rf averages them: neither can go on from a model alone
_WHOLE = ("dart", "rf", "random_forest")


class Boosting:
    """Follows `lightgbm.train`, goes on from `context.resume`, and ends it `patience` rounds after the best one.

    A trial that goes on makes the trees that it would have made, to the bit, unless the parameters draw more lots than
    features for each tree: `bagging_fraction`, goss, `extra_trees`, `feature_fraction_bynode`, quantized gradients;
    nor with `linear_tree`. LightGBM cannot save where its generators are; then other lots are drawn, as good as these.
    """

    def __init__(self, context: TrialContext, params: Mapping[str, Any], *, patience: int) -> None:
        self._context = context
        self._patience = patience
        self._features = float(params.get("feature_fraction", 1.0))
        kind = next((params[name] for name in _KINDS if name in params), "gbdt")
        self._is_whole = kind in _WHOLE
        self._stops_early = kind != "dart"  # trees of its best round change after it
        self._best: float | None = None
        self._best_round = 0
        self.begun: lightgbm.Booster | None = None  # the trees that are there already
        if context.resume is not None:
            self._take_over(json.loads(context.resume))

    @property
    def callbacks(self) -> list[Callable[..., Any]]:
        """For `lightgbm.train`, whose `init_model` has to be `begun`."""
        return [self._after, _before_iteration(self._skip_lots)] if self.begun is not None else [self._after]

    def _take_over(self, state: Mapping[str, Any]) -> None:
        self.begun = lightgbm.Booster(model_str=state["model"])
        self._best, self._best_round = state["best"], state["best_round"]

    def _state(self, booster: lightgbm.Booster) -> bytes:
        model = booster.model_to_string(num_iteration=-1)
        return json.dumps({"model": model, "best": self._best, "best_round": self._best_round}).encode()

    def _after(self, env: CallbackEnv) -> None:
        """One more round is there."""
        context, done = self._context, env.iteration + 1
        results: Any = env.evaluation_result_list
        value, maximize = float(results[0][2]), bool(results[0][3])
        if self._best is None or (value > self._best if maximize else value < self._best):
            self._best, self._best_round = value, done
        if done % context.report_every == 0:
            metrics: dict[str, float] = {context.metric: value}
            if self._is_whole:
                context.report(done, metrics)
            else:
                context.checkpoint(done, metrics, partial(self._state, env.model))
        # begun trials are told more rounds than are left, so that their models' parameters are the same
        if (self._stops_early and done - self._best_round >= self._patience) or done >= context.max_iterations:
            context.achieved(self._best if self._stops_early else value)
            raise EarlyStopException(self._best_round - 1 if self._stops_early else done - 1, results)

    def _skip_lots(self, env: CallbackEnv) -> None:
        """Draw the features of the trees that are there already.

        LightGBM draws those of the next tree whenever its parameters are set, and at no other time between two trees.
        """
        if env.iteration == env.begin_iteration and self._features < 1.0:
            for _ in range(env.begin_iteration * env.model.num_model_per_iteration()):
                env.model.reset_parameter({"feature_fraction": self._features})


def _before_iteration(call: Callable[[CallbackEnv], None]) -> Callable[[CallbackEnv], None]:
    def callback(env: CallbackEnv) -> None:
        call(env)

    callback.before_iteration = True  # type: ignore[attr-defined]
    return callback
