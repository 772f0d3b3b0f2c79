import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mlops_ray.errors import TrainError
from mlops_ray.evaluation import score
from mlops_ray.train import TrialContext, train_torch
from mlops_ray.train.torch_trainer import check_torch_params
from mlops_ray.train.trial import load_model

ContextOf = Callable[..., TrialContext]
PARAMS = {"hidden": 32, "learning_rate": 0.01, "batch_size": 64}


def test_the_model_has_learnt_what_drives_the_label(context_of: ContextOf, tmp_path: Path) -> None:
    reports: list[tuple[int, dict[str, float]]] = []
    context = context_of(reports, params=PARAMS, max_iterations=15)
    predictor = load_model(train_torch(context), tmp_path)
    assert score("auc", context.y_valid, predictor.predict(context.x_valid)) > 0.85
    assert [iteration for iteration, _ in reports] == list(range(1, len(reports) + 1))


def test_predictions_are_probabilities_also_for_missing_and_unseen_values(
    context_of: ContextOf, tmp_path: Path
) -> None:
    predictor = load_model(train_torch(context_of(params=PARAMS, max_iterations=2)), tmp_path)
    odd = np.array([[np.nan, np.nan, np.nan, np.nan], [1e12, np.inf, 0.0, 3.0], [5.0, 60.0, 1.0, 99.0]])
    predictions = predictor.predict(odd)
    assert np.isfinite(predictions).all()
    assert ((predictions >= 0) & (predictions <= 1)).all()


def test_the_same_seed_gives_the_same_predictions(context_of: ContextOf, tmp_path: Path) -> None:
    context = context_of(params=PARAMS, max_iterations=2)
    first, second = (load_model(train_torch(context), tmp_path / name) for name in ("a", "b"))
    np.testing.assert_array_equal(first.predict(context.x_valid), second.predict(context.x_valid))


def test_a_trial_that_goes_on_from_a_checkpoint_makes_the_model_of_one_that_was_never_stopped(
    context_of: ContextOf, tmp_path: Path
) -> None:
    states: dict[int, bytes] = {}

    def keep(iteration: int, _: object, state: Callable[[], bytes]) -> None:
        states[iteration] = state()

    whole = context_of(params=PARAMS, max_iterations=6, checkpoint=keep)
    rest = context_of(params=PARAMS, max_iterations=6)
    first = load_model(train_torch(whole), tmp_path / "a").predict(whole.x_valid)
    second = load_model(train_torch(replace(rest, resume=states[3])), tmp_path / "b").predict(rest.x_valid)
    np.testing.assert_array_equal(first, second)


def test_a_trial_that_takes_weights_over_keeps_its_own_learning_rate(context_of: ContextOf, tmp_path: Path) -> None:
    states: list[bytes] = []
    context = context_of(params=PARAMS, max_iterations=2, checkpoint=lambda _i, _m, state: states.append(state()))
    before = load_model(train_torch(context), tmp_path / "a").predict(context.x_valid)
    still = context_of(params=PARAMS | {"learning_rate": 0.0}, max_iterations=5, resume=states[-1])
    after = load_model(train_torch(still), tmp_path / "b").predict(context.x_valid)
    np.testing.assert_allclose(before, after, atol=1e-6)


def test_half_precision_learns_as_well(context_of: ContextOf, tmp_path: Path) -> None:
    context = context_of(params=PARAMS | {"precision": "bfloat16"}, max_iterations=10)
    predictor = load_model(train_torch(context), tmp_path)
    assert score("auc", context.y_valid, predictor.predict(context.x_valid)) > 0.85


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
# torch.compile imports code of torch that torch itself has deprecated
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_compiled_net_learns_as_well(context_of: ContextOf, tmp_path: Path) -> None:
    context = context_of(params=PARAMS | {"compile": True}, max_iterations=10)
    predictor = load_model(train_torch(context), tmp_path)
    assert score("auc", context.y_valid, predictor.predict(context.x_valid)) > 0.85


def test_a_precision_it_does_not_have_is_refused(context_of: ContextOf) -> None:
    with pytest.raises(TrainError, match="precision: expected float32 or bfloat16, found 'float8'"):
        train_torch(context_of(params={"precision": "float8"}))


def test_a_regression_predicts_in_the_unit_of_the_label(context_of: ContextOf, tmp_path: Path) -> None:
    base = context_of()
    y_train, y_valid = 1000 + 10 * base.x_train[:, 0], 1000 + 10 * base.x_valid[:, 0]
    signature = type(base.signature)(base.signature.inputs, "regression", base.signature.unit)
    context = context_of(
        task="regression", metric="rmse", maximize=False, y_train=y_train, y_valid=y_valid, signature=signature,
        params=PARAMS, max_iterations=25,
    )  # fmt: skip
    predictor = load_model(train_torch(context), tmp_path)
    assert score("r2", y_valid, predictor.predict(context.x_valid)) > 0.8


def test_a_table_of_numbers_or_of_categories_only_trains(context_of: ContextOf, tmp_path: Path) -> None:
    base = context_of()
    for place, name in ((0, "number"), (3, "category")):
        signature = type(base.signature)((base.signature.inputs[place],), "binary")
        context = context_of(
            x_train=base.x_train[:, [place]], x_valid=base.x_valid[:, [place]], signature=signature,
            params=PARAMS, max_iterations=1,
        )  # fmt: skip
        assert load_model(train_torch(context), tmp_path / name).predict(context.x_valid).shape == base.y_valid.shape


def test_a_hyperparameter_the_trainer_does_not_have_is_refused_with_those_it_has() -> None:
    check_torch_params(["hidden", "layers", "dropout", "learning_rate", "weight_decay", "batch_size"])
    with pytest.raises(TrainError, match=r"'depth' is no parameter of the torch trainer; it has hidden, layers"):
        check_torch_params(["depth"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_trains_a_model_that_the_cpu_loads(context_of: ContextOf, tmp_path: Path) -> None:
    context = context_of(params=PARAMS, max_iterations=10, device="cuda")
    predictor = load_model(train_torch(context), tmp_path)
    assert score("auc", context.y_valid, predictor.predict(context.x_valid)) > 0.8
