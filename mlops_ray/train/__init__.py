"""From a dataset version to a gated model version: trainers, sweeps on Ray Tune, and what is registered of them."""

from typing import TYPE_CHECKING, Any

from mlops_ray.train.trial_context import Trainer, TrialContext

if TYPE_CHECKING:
    from mlops_ray.train.lightgbm_trainer import train_lightgbm
    from mlops_ray.train.reproduction import Reproduction, reproduce_version
    from mlops_ray.train.torch_trainer import train_torch
    from mlops_ray.train.torchvision_trainer import train_torchvision
    from mlops_ray.train.training import run_training

__all__ = [
    "Reproduction",
    "Trainer",
    "TrialContext",
    "reproduce_version",
    "run_training",
    "train_lightgbm",
    "train_torch",
    "train_torchvision",
]

_HOMES = {
    "Reproduction": "reproduction",
    "reproduce_version": "reproduction",
    "run_training": "training",
    "train_lightgbm": "lightgbm_trainer",
    "train_torch": "torch_trainer",
    "train_torchvision": "torchvision_trainer",
}


def __getattr__(name: str) -> Any:
    # on first use: every trial's worker imports this package, and needs neither Iceberg nor SQL nor the other trainer
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
