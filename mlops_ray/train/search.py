"""From the `train` section of a spec to what Ray Tune searches, with what, and what it ends early."""

from collections.abc import Mapping
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import BasicVariantGenerator, SearchAlgorithm, Searcher

from mlops_ray.errors import TrainError
from mlops_ray.spec import Choice, IntRange, LogRange, Range, SearchDimension, Train
from mlops_ray.train.trial import ITERATION

__all__ = ["param_space", "scheduler_of", "search_of"]


def param_space(space: Mapping[str, SearchDimension]) -> dict[str, Any]:
    """Ray Tune's form of a search space; constants stay as they are.

    Raises:
        TrainError: a range whose ends are not in order.
    """
    return {name: _dimension(name, dimension) for name, dimension in space.items()}


def search_of(train: Train) -> Searcher | SearchAlgorithm:
    """The search algorithm; with nothing to search for, trials in order."""
    varied = any(isinstance(dimension, Range | LogRange | IntRange | Choice) for dimension in train.space.values())
    if train.search == "random" or not varied:
        return BasicVariantGenerator(random_state=train.seed, max_concurrent=train.max_concurrent)
    # optuna takes 1 s to import and is not needed for a random search
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return OptunaSearch(seed=train.seed)


def scheduler_of(train: Train) -> TrialScheduler:
    """ASHA ends a trial whose best value so far is not among the best third at 1/9, 1/3 of the iterations."""
    if train.scheduler == "none":
        return FIFOScheduler()
    return ASHAScheduler(
        time_attr=ITERATION,
        # one more than a trainer can reach: the last report, which carries the model, comes after all of its own
        max_t=train.max_iterations + 1,
        grace_period=max(1, train.max_iterations // 9),
        reduction_factor=3,
    )


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
