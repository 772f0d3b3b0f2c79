from pathlib import Path
from typing import Any

import pytest
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, PopulationBasedTraining
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from mlops_ray.errors import TrainError
from mlops_ray.spec import Train
from mlops_ray.train.search import PlannedSearch, param_space, scheduler_of, search_of, trial_count

SPACE = {
    "a": {"uniform": [0.1, 0.2]},
    "b": {"log_uniform": [1e-4, 1e-1]},
    "c": {"int_uniform": [3, 5]},
    "d": {"choice": ["x", 2, True]},
    "e": 7,
}
CONDITIONAL = {
    "drop_rate": {"uniform": [0.1, 0.5], "when": {"boosting": "dart"}},
    "drop_kind": {"choice": ["tree", "leaf"], "when": {"boosting": ["dart"]}},
    "leaf_share": {"int_uniform": [1, 3], "when": {"drop_kind": "leaf"}},
    "boosting": {"choice": ["gbdt", "dart"]},
}


def suggested(count: int = 60, **section: Any) -> list[dict[str, Any]]:
    """What a search gives when every trial is over before the next one starts."""
    search = search_of(Train.model_validate({"trials": count, **section}))
    assert isinstance(search, Searcher)
    found = []
    for number in range(count):
        config = search.suggest(f"t{number}")
        if not isinstance(config, dict):
            break
        found.append(config)
        search.on_trial_complete(f"t{number}", {search.metric: float(number % 7)})
    return found


@pytest.mark.parametrize("search", ["random", "optuna"])
def test_samples_lie_within_the_ranges_and_reach_both_ends_of_whole_numbers(search: str) -> None:
    samples = suggested(space=SPACE, search=search)
    assert all(0.1 <= s["a"] <= 0.2 for s in samples)
    assert all(1e-4 <= s["b"] <= 1e-1 for s in samples)
    assert {s["c"] for s in samples} == {3, 4, 5}
    assert {s["d"] for s in samples} == {"x", 2, True}
    assert {s["e"] for s in samples} == {7}


@pytest.mark.parametrize("search", ["random", "optuna"])
def test_a_log_range_is_even_on_a_log_scale(search: str) -> None:
    samples = [s["b"] for s in suggested(space={"b": SPACE["b"]}, search=search)]
    assert 0.1 < sum(b < 10**-2.5 for b in samples) / len(samples) < 0.9


@pytest.mark.parametrize("search", ["random", "optuna"])
def test_a_hyperparameter_is_there_exactly_when_its_condition_holds(search: str) -> None:
    samples = suggested(space=CONDITIONAL, search=search)
    assert {s["boosting"] for s in samples} == {"gbdt", "dart"}
    for s in samples:
        assert ("drop_rate" in s) == ("drop_kind" in s) == (s["boosting"] == "dart")
        assert ("leaf_share" in s) == (s.get("drop_kind") == "leaf")


@pytest.mark.parametrize("search", ["random", "optuna"])
def test_the_seed_decides_what_is_tried(search: str) -> None:
    first, again, other = (suggested(space=SPACE, search=search, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_grid_tries_each_point_once_and_then_ends() -> None:
    space = {"a": {"choice": [1, 2]}, "b": {"choice": ["x", "y"]}, "c": 3}
    points = suggested(space=space, search="grid", count=8)
    assert points == [{"a": a, "b": b, "c": 3} for a in (1, 2) for b in ("x", "y")]
    assert trial_count(Train.model_validate({"space": space, "search": "grid"})) == 4
    assert trial_count(Train.model_validate({"space": space, "search": "random"})) == 8


def test_a_restored_search_goes_on_where_it_was(tmp_path: Path) -> None:
    train = Train.model_validate({"space": SPACE, "search": "random"})
    search, restored = PlannedSearch(train), PlannedSearch(train)
    search.suggest("1")
    search.save(str(tmp_path / "search"))
    restored.restore(str(tmp_path / "search"))
    assert restored.suggest("2") == search.suggest("2")


def test_a_planned_search_ends_with_its_trials() -> None:
    search = PlannedSearch(Train.model_validate({"space": SPACE, "search": "random", "trials": 1}))
    assert isinstance(search.suggest("1"), dict)
    assert search.suggest("2") == Searcher.FINISHED


@pytest.mark.parametrize("kind", ["uniform", "log_uniform", "int_uniform"])
def test_a_range_the_wrong_way_round_is_refused(kind: str) -> None:
    with pytest.raises(TrainError, match=r"train.space.a: expected the smaller number first, found 5 and 3"):
        param_space(Train.model_validate({"space": {"a": {kind: [5, 3]}}}).space)


def test_optuna_searches_where_there_is_something_to_search() -> None:
    assert isinstance(search_of(Train.model_validate({"space": SPACE})), OptunaSearch)
    assert isinstance(search_of(Train.model_validate({"space": {"e": 7}})), PlannedSearch)
    assert isinstance(search_of(Train.model_validate({"space": SPACE, "search": "random"})), PlannedSearch)


def test_each_scheduler_has_its_name() -> None:
    assert isinstance(scheduler_of(Train()), ASHAScheduler)
    assert isinstance(scheduler_of(Train(scheduler="none")), FIFOScheduler)
    assert isinstance(scheduler_of(Train(scheduler="median")), MedianStoppingRule)
    pbt = {"scheduler": "pbt", "search": "random", "trainer": "torch", "space": {"dropout": {"uniform": [0, 0.5]}}}
    assert isinstance(scheduler_of(Train.model_validate(pbt)), PopulationBasedTraining)


def test_pbt_without_anything_that_varies_is_refused() -> None:
    with pytest.raises(TrainError, match=r"train.space has none that vary"):
        scheduler_of(Train.model_validate({"scheduler": "pbt", "search": "random", "trainer": "torch"}))
