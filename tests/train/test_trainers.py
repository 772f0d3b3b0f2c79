import subprocess
import sys

import pytest

from mlops_ray.errors import TrainError
from mlops_ray.model import TrainedModel
from mlops_ray.train import TrialContext, train_lightgbm, train_torch
from mlops_ray.train.trainers import check_params, find_trainer

NOT_A_FUNCTION = 3


def own(context: TrialContext) -> TrainedModel:
    """A user's trainer: LightGBM with fewer leaves."""
    return train_lightgbm(context)


def overlong(context: TrialContext) -> TrainedModel:
    """A user's trainer that counts further than it was told to."""
    model = train_lightgbm(context)
    context.report(10 * context.max_iterations, {context.metric: 0.5})
    return model


def silent(context: TrialContext) -> TrainedModel:
    """A user's trainer that reports something else."""
    context.report(1, {"loss": 0.5})
    return train_lightgbm(context)


def failing(context: TrialContext) -> TrainedModel:
    """A user's trainer with a mistake."""
    raise KeyError(f"no such table in {context.task}")


def test_built_in_trainers_have_short_names() -> None:
    assert (find_trainer("lightgbm"), find_trainer("torch")) == (train_lightgbm, train_torch)


def test_a_users_trainer_is_found_by_module_and_function() -> None:
    assert find_trainer(f"{__name__}:own") is own


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "no_such_package.train:main",
            r"train.trainer no_such_package.train:main: cannot import no_such_package.train",
        ),
        (f"{__name__}:missing", f"module {__name__} has no 'missing'"),
        (f"{__name__}:NOT_A_FUNCTION", "expected a function, found int"),
    ],
)
def test_what_cannot_be_imported_is_named(name: str, message: str) -> None:
    with pytest.raises(TrainError, match=message):
        find_trainer(name)


def test_hyperparameters_of_a_users_trainer_are_its_own_business() -> None:
    check_params(f"{__name__}:own", ["anything"])


@pytest.mark.parametrize("name", ["lightgbm", "torch"])
def test_unknown_hyperparameters_of_built_in_trainers_are_refused(name: str) -> None:
    with pytest.raises(TrainError, match="'anything' is no parameter"):
        check_params(name, ["anything"])


def test_a_lightgbm_worker_imports_neither_torch_nor_mlflow_nor_iceberg() -> None:
    program = (
        "import sys, mlops_ray.train.trial, mlops_ray.train.lightgbm_trainer\n"
        "print([m for m in ('torch', 'mlflow', 'pyiceberg', 'sqlalchemy', 'optuna') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
