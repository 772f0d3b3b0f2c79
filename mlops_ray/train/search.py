"""From the `train` section of a spec to what Ray Tune searches, with what, and what it ends early."""

import json
import random
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.search import BasicVariantGenerator, Searcher

from mlops_ray.errors import TrainError
from mlops_ray.spec import (
    Choice,
    IntRange,
    LogRange,
    Range,
    SearchDimension,
    Train,
    active,
    dimension_order,
    grid_points,
)
from mlops_ray.train.trial import BEST, ITERATION

__all__ = ["PlannedSearch", "param_space", "scheduler_of", "search_of", "trial_count", "tune_space"]

# Optuna draws so many trials at random before it looks at what they gave
_STARTUP = 10


class PlannedSearch(Searcher):
    """Random and grid search: which configurations there will be is known beforehand, whatever the trials give.

    A trial that starts later than planned still gets the configuration of its number.
    """

    def __init__(self, train: Train) -> None:
        super().__init__(metric=BEST, mode="max" if train.maximize else "min")
        self._points = list(islice(_points(train), train.trials))
        self._next = 0

    def suggest(self, trial_id: str) -> Any:  # noqa: ARG002
        """The next configuration; Tune's word for the end when there is none."""
        if self._next >= len(self._points):
            return str(Searcher.FINISHED)
        self._next += 1
        return dict(self._points[self._next - 1])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing is learnt from a result."""

    def save(self, checkpoint_path: str) -> None:
        """How far it came; the points follow from the spec."""
        Path(checkpoint_path).write_text(json.dumps({"next": self._next}), encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Go on where `save` was called."""
        self._next = int(json.loads(Path(checkpoint_path).read_text(encoding="utf-8"))["next"])


def param_space(space: Mapping[str, SearchDimension]) -> dict[str, Any]:
    """Ray Tune's form of a search space, without its conditions; constants stay as they are.

    Raises:
        TrainError: a range whose ends are not in order.
    """
    return {name: _dimension(name, dimension) for name, dimension in space.items()}


def trial_count(train: Train) -> int:
    """How many trials a sweep has: a grid may have fewer points than `trials`."""
    if train.search != "grid":
        return train.trials
    return len(list(islice(grid_points(train.space), train.trials)))


def tune_space(train: Train) -> dict[str, Any]:
    """What Tune samples from itself: nothing, unless the scheduler allows no search beside it."""
    return param_space(train.space) if train.scheduler == "pbt" else {}


def search_of(train: Train) -> Searcher | BasicVariantGenerator:
    """The search algorithm; with nothing to search for, trials in order."""
    if train.scheduler == "pbt":
        return BasicVariantGenerator(random_state=train.seed, max_concurrent=train.trials)
    varied = any(isinstance(dimension, Range | LogRange | IntRange | Choice) for dimension in train.space.values())
    if train.search != "optuna" or not varied:
        return PlannedSearch(train)
    # optuna takes 1 s to import and is not needed for the others
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        # these options have been called experimental for years, and Tune is pinned together with Optuna
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=train.seed,
            # a small sweep would otherwise be random from its first trial to its last
            n_startup_trials=min(_STARTUP, max(2, train.trials // 3)),
            multivariate=True,
            group=True,  # hyperparameters that are there under a condition only are modelled apart
            # trials still running count as bad ones, so that those beside them look elsewhere
            constant_liar=train.max_concurrent > 1,
        )
    mode = "max" if train.maximize else "min"
    return OptunaSearch(space=partial(_suggest, train.space), metric=BEST, mode=mode, sampler=sampler)


def scheduler_of(train: Train) -> TrialScheduler:
    """What ends or changes trials on their way.

    ASHA ends a trial whose best value so far is not among the best third at 1/9, 1/3 of the iterations; the median
    rule one that is worse than the median of the others at the same iteration; PBT gives the worst quarter the weights
    of the best and hyperparameters near theirs, about five times on the way.
    """
    match train.scheduler:
        case "none":
            return FIFOScheduler()
        case "median":
            return MedianStoppingRule(
                time_attr=ITERATION, grace_period=max(1, train.max_iterations // 9), min_samples_required=3
            )
        case "pbt":
            return PopulationBasedTraining(
                time_attr=ITERATION,
                perturbation_interval=max(2, train.max_iterations // 5),
                hyperparam_mutations=_mutations(train),
                custom_explore_fn=partial(_within, train.space),
            )
    return ASHAScheduler(
        time_attr=ITERATION,
        # one more than a trainer can reach: the last report, which carries the model, comes after all of its own
        max_t=train.max_iterations + 1,
        grace_period=max(1, train.max_iterations // 9),
        reduction_factor=3,
    )


def _points(train: Train) -> Iterator[dict[str, Any]]:
    if train.search == "grid":
        yield from grid_points(train.space)
        return
    generator = random.Random(train.seed)
    order = dimension_order(train.space)
    while True:
        chosen: dict[str, Any] = {}
        for name in order:
            if active(train.space[name], chosen):
                chosen[name] = _sample(name, train.space[name], generator)
        yield chosen


def _sample(name: str, dimension: SearchDimension, generator: random.Random) -> Any:
    match dimension:
        case Range(uniform=(low, high)):
            return generator.uniform(*_ordered(name, low, high))
        case LogRange(log_uniform=(low, high)):
            _ordered(name, low, high)
            # rounding could leave the range by a hair
            return min(high, max(low, low * (high / low) ** generator.random()))
        case IntRange(int_uniform=(low, high)):
            _ordered(name, low, high)
            return generator.randint(low, high)
        case Choice(choice=values):
            return generator.choice(values)
        case constant:
            return constant


def _suggest(space: Mapping[str, SearchDimension], trial: Any) -> dict[str, Any]:
    """Ask Optuna for what varies, in an order in which conditions are known; the answer has the constants."""
    chosen: dict[str, Any] = {}
    for name in dimension_order(space):
        dimension = space[name]
        if not active(dimension, chosen):
            continue
        match dimension:
            case Range(uniform=(low, high)):
                chosen[name] = trial.suggest_float(name, *_ordered(name, low, high))
            case LogRange(log_uniform=(low, high)):
                chosen[name] = trial.suggest_float(name, *_ordered(name, low, high), log=True)
            case IntRange(int_uniform=(low, high)):
                _ordered(name, low, high)
                chosen[name] = trial.suggest_int(name, low, high)
            case Choice(choice=values):
                chosen[name] = trial.suggest_categorical(name, list(values))
            case constant:
                chosen[name] = constant
    return chosen


def _mutations(train: Train) -> dict[str, Any]:
    space = param_space(train.space)
    choices = {name: list(dim.choice) for name, dim in train.space.items() if isinstance(dim, Choice)}
    ranges = {name: space[name] for name, dim in train.space.items() if isinstance(dim, Range | LogRange | IntRange)}
    if not choices and not ranges:
        raise TrainError("train.scheduler: pbt changes hyperparameters, and train.space has none that vary")
    return choices | ranges


def _within(space: Mapping[str, SearchDimension], config: dict[str, Any]) -> dict[str, Any]:
    """PBT multiplies by 0.8 or 1.2, also beyond the end of a range."""
    ends: dict[str, tuple[float, float]] = {}
    for name, dimension in space.items():
        match dimension:
            case Range(uniform=pair) | LogRange(log_uniform=pair) | IntRange(int_uniform=pair):
                ends[name] = pair
    return config | {name: min(high, max(low, config[name])) for name, (low, high) in ends.items()}


def _dimension(name: str, dimension: SearchDimension) -> Any:
    match dimension:
        case Range(uniform=(low, high)):
            return tune.uniform(*_ordered(name, low, high))
        case LogRange(log_uniform=(low, high)):
            return tune.loguniform(*_ordered(name, low, high))
        case IntRange(int_uniform=(low, high)):
            first, last = _ordered(name, low, high)
            return tune.randint(int(first), int(last) + 1)  # Tune leaves the upper end out
        case Choice(choice=values):
            return tune.choice(list(values))
        case constant:
            return constant


def _ordered(name: str, low: float, high: float) -> tuple[float, float]:
    if low > high:
        raise TrainError(f"train.space.{name}: expected the smaller number first, found {low:g} and {high:g}")
    return low, high
