import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from mlops_ray.train import TrialContext, binned, train_lightgbm
from mlops_ray.train.binned import binning_key, forget_binnings, shared_datasets

ContextOf = Callable[..., TrialContext]
TRIALS: list[dict[str, Any]] = [
    {"min_data_in_leaf": 40, "feature_fraction": 0.6},
    {"min_data_in_leaf": 2, "num_leaves": 60, "lambda_l2": 3.0},
    {"max_bin": 15},
    {"max_bins": 31, "min_data_in_leaf": 5},
    {"min_data_in_bin": 30},
    {"bagging_fraction": 0.5, "bagging_freq": 1, "extra_trees": True},
    {"feature_pre_filter": True, "min_data_in_leaf": 100},
    {"feature_pre_filter": True, "min_data_in_leaf": 3},
    {"linear_tree": True},
    {"boosting": "dart", "max_cat_to_onehot": 1},
]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Files of the binnings lie under the test's own folder, and the process starts with none loaded."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    _as_another_process()
    yield tmp_path
    _as_another_process()


def _as_another_process() -> None:
    """Forget what this process has loaded; the files stay."""
    binned._loaded.clear()
    for descriptor in binned._held.values():
        os.close(descriptor)
    binned._held.clear()


def text(context: TrialContext) -> str:
    return train_lightgbm(context).files["model.lgb.txt"].decode()


@pytest.mark.filterwarnings("ignore:Early stopping is not available in dart mode:UserWarning")
def test_trials_on_shared_bins_make_the_models_that_each_makes_alone(context_of: ContextOf) -> None:
    for params in TRIALS * 2:  # the second time from files, in another order of what is loaded
        alone = text(context_of(params=params))
        assert text(context_of(params=params, data_id="d")) == alone, params
        _as_another_process()
        assert text(context_of(params=params, data_id="d")) == alone, params


def test_the_model_is_that_of_plain_lightgbm(context_of: ContextOf) -> None:
    context = context_of(params={"early_stopping_rounds": 100, "num_leaves": 9}, data_id="d")
    shared = lightgbm.Booster(model_str=text(context))
    params = {
        "objective": "binary", "learning_rate": 0.1, "num_leaves": 9, "metric": "auc", "num_threads": 1,
        "seed": context.seed, "deterministic": True, "force_row_wise": True, "verbose": -1,
    }  # fmt: skip
    train = lightgbm.Dataset(context.x_train, context.y_train, categorical_feature=list(context.categorical))
    plain = lightgbm.train(params, train, num_boost_round=shared.current_iteration())
    np.testing.assert_array_equal(shared.predict(context.x_valid), plain.predict(context.x_valid))


def test_data_is_binned_once_for_trials_and_processes(context_of: ContextOf) -> None:
    calls: list[int] = []
    context = context_of()

    def make() -> tuple[lightgbm.Dataset, lightgbm.Dataset]:
        calls.append(1)
        train = lightgbm.Dataset(context.x_train, context.y_train)
        return train, lightgbm.Dataset(context.x_valid, context.y_valid, reference=train)

    first = shared_datasets("d", {"num_leaves": 3}, make)
    assert shared_datasets("d", {"num_leaves": 9}, make) is first
    _as_another_process()
    loaded, _ = shared_datasets("d", {"num_leaves": 9}, make)
    assert (len(calls), loaded.num_data()) == (1, len(context.y_train))
    shared_datasets("d", {"max_bin": 9}, make)
    assert len(calls) == 2
    shared_datasets("other", {}, make)
    assert len(calls) == 3


def test_a_key_tells_binnings_apart_and_nothing_else() -> None:
    same: list[dict[str, Any]] = [{}, {"num_leaves": 5}, {"learning_rate": 0.3, "lambda_l1": 2}]
    assert len({binning_key({"feature_pre_filter": False, **params}) for params in same}) == 1
    assert binning_key({"max_bins": 7}) == binning_key({"max_bin": 7}) != binning_key({"max_bin": 8})
    assert binning_key({"min_data_in_leaf": 7}) != binning_key({"min_child_samples": 8})
    assert binning_key({"min_data_in_leaf": 7, "feature_pre_filter": False}) == binning_key(
        {"min_data_in_leaf": 8, "feature_pre_filter": False}
    )


def test_a_file_that_is_broken_costs_time_and_no_trial(context_of: ContextOf, own_folder: Path) -> None:
    expected = text(context_of(data_id="d"))
    for file in own_folder.rglob("*.train"):
        file.write_bytes(b"?")
    _as_another_process()
    assert text(context_of(data_id="d")) == expected


def test_what_nobody_uses_any_more_is_removed(context_of: ContextOf, own_folder: Path) -> None:
    text(context_of(data_id="old"))
    [old] = own_folder.glob("*/old")
    _as_another_process()
    text(context_of(data_id="new"))
    [new] = own_folder.glob("*/new")
    assert (old.exists(), new.exists()) == (False, True)
    forget_binnings("new")
    assert not new.exists()
