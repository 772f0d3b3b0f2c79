"""From the name in a spec to the function that trains."""

import importlib
from collections.abc import Iterable

from mlops_ray.errors import TrainError
from mlops_ray.train.trial_context import Trainer

__all__ = ["check_params", "find_trainer"]


def find_trainer(name: str) -> Trainer:
    """The trainer `lightgbm`, `torch`, `torchvision`, or the function `package.module:function` of the user.

    Raises:
        TrainError: the module or the function is not there, or is no function.
    """
    # imported where asked for: a LightGBM trial has no use for torch's 2 s, nor the other way round
    if name == "lightgbm":
        from mlops_ray.train.lightgbm_trainer import train_lightgbm

        return train_lightgbm
    if name == "torch":
        from mlops_ray.train.torch_trainer import train_torch

        return train_torch
    if name == "torchvision":
        from mlops_ray.train.torchvision_trainer import train_torchvision

        return train_torchvision
    return _users_own(name)


def check_params(name: str, params: Iterable[str]) -> None:
    """TrainError for a hyperparameter that the trainer `name` does not know; a user's trainer knows its own."""
    if name == "lightgbm":
        from mlops_ray.train.lightgbm_trainer import check_lightgbm_params

        check_lightgbm_params(params)
    elif name == "torch":
        from mlops_ray.train.torch_trainer import check_torch_params

        check_torch_params(params)
    elif name == "torchvision":
        from mlops_ray.train.vision_params import check_torchvision_params

        check_torchvision_params(params)


def _users_own(name: str) -> Trainer:
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except ImportError as error:
        raise TrainError(
            f"train.trainer {name}: cannot import {module} ({error}); install it, or give it to the job as working_dir"
        ) from error
    except AttributeError:
        raise TrainError(f"train.trainer {name}: module {module} has no {function!r}") from None
    if not callable(found):
        raise TrainError(f"train.trainer {name}: expected a function, found {type(found).__name__}")
    trainer: Trainer = found
    return trainer
