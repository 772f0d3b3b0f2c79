import random

import pytest
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
from ray.tune.search import BasicVariantGenerator
from ray.tune.search.optuna import OptunaSearch

from mlops_ray.errors import TrainError
from mlops_ray.spec import Train
from mlops_ray.train.search import param_space, scheduler_of, search_of

SPACE = {
    "a": {"uniform": [0.1, 0.2]},
    "b": {"log_uniform": [1e-4, 1e-1]},
    "c": {"int_uniform": [3, 5]},
    "d": {"choice": ["x", 2, True]},
    "e": 7,
}


def test_samples_lie_within_the_ranges_and_reach_both_ends_of_whole_numbers() -> None:
    random.seed(0)
    space = param_space(Train.model_validate({"space": SPACE}).space)
    samples = {name: [space[name].sample() for _ in range(200)] for name in "abcd"}
    assert all(0.1 <= a <= 0.2 for a in samples["a"])
    assert all(1e-4 <= b <= 1e-1 for b in samples["b"])
    assert set(samples["c"]) == {3, 4, 5}
    assert set(samples["d"]) == {"x", 2, True}


def test_a_constant_stays_what_it_is() -> None:
    assert param_space(Train.model_validate({"space": SPACE}).space)["e"] == 7


@pytest.mark.parametrize("kind", ["uniform", "log_uniform", "int_uniform"])
def test_a_range_the_wrong_way_round_is_refused(kind: str) -> None:
    with pytest.raises(TrainError, match=r"train.space.a: expected the smaller number first, found 5 and 3"):
        param_space(Train.model_validate({"space": {"a": {kind: [5, 3]}}}).space)


def test_optuna_searches_where_there_is_something_to_search() -> None:
    assert isinstance(search_of(Train.model_validate({"space": SPACE})), OptunaSearch)
    assert isinstance(search_of(Train.model_validate({"space": {"e": 7}})), BasicVariantGenerator)
    assert isinstance(search_of(Train.model_validate({"space": SPACE, "search": "random"})), BasicVariantGenerator)


def test_asha_can_be_turned_off() -> None:
    assert isinstance(scheduler_of(Train()), ASHAScheduler)
    assert isinstance(scheduler_of(Train(scheduler="none")), FIFOScheduler)
