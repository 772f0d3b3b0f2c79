"""Hyperparameters of the trainer `torchvision`, and which values they can have."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlops_ray.errors import TrainError

__all__ = ["VisionParams", "check_torchvision_params", "parse_params"]

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "augment": ("none", "crop_flip", "trivial"),
    "precision": ("float32", "bfloat16", "float16"),
    "schedule": ("one_cycle", "constant"),
    "decoding": ("auto", "once", "each_epoch"),
    "strategy": ("ddp", "fsdp"),
}


@dataclass(frozen=True)
class VisionParams:
    """Hyperparameters with their defaults."""

    architecture: str = "small"  # our net for small pictures, or a classification model of torchvision by its name
    width: int = 32  # of `small`: channels of its first layer
    dropout: float = 0.0  # of `small`, before its last layer
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    batch_size: int = 128  # of all workers together
    label_smoothing: float = 0.0
    augment: str = "crop_flip"  # none, random crop and flip, or these and then one operation of TrivialAugmentWide
    schedule: str = "one_cycle"  # of the learning rate, over all epochs that a trial may have; or constant
    patience: int = 10  # epochs without getting better
    precision: str = "float32"  # of the layers; weights stay float32; float16 on CUDA only
    compile: bool = False  # torch.compile: up to minutes at the start, faster epochs on a GPU
    channels_last: bool = True  # how pixels lie in memory: faster on most CPUs and GPUs
    decoding: str = "auto"  # once, into memory, or each epoch anew; auto: once where that takes 1 GiB at most
    strategy: str = "ddp"  # of several workers: each has the whole net, or a part of it (FSDP)


def check_torchvision_params(names: Iterable[str]) -> None:
    """TrainError for a hyperparameter the trainer does not have."""
    known = list(VisionParams.__dataclass_fields__)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise TrainError(
            f"train.space: {unknown[0]!r} is no parameter of the torchvision trainer; it has {', '.join(known)}"
        )


def parse_params(values: Mapping[str, Any], *, workers: int, device: str) -> VisionParams:
    """Of the names that `check_torchvision_params` knows.

    Raises:
        TrainError: one has a value that it cannot have, or that does not go with another or with the device.
    """
    params = VisionParams(**{name: type(getattr(VisionParams, name))(value) for name, value in values.items()})
    for name, choices in _CHOICES.items():
        if getattr(params, name) not in choices:
            raise TrainError(f"train.space.{name}: expected {_listed(choices)}, found {getattr(params, name)!r}")
    for name in ("width", "batch_size", "patience"):
        if getattr(params, name) < 1:
            raise TrainError(f"train.space.{name}: expected 1 or more, found {getattr(params, name)}")
    if params.batch_size < 2 * workers:
        raise TrainError(
            f"train.space.batch_size: expected two pictures for each of {workers} workers at least, "
            f"found {params.batch_size}"
        )
    if not 0 <= params.label_smoothing < 1 or not 0 <= params.dropout < 1:
        raise TrainError("train.space: expected label_smoothing and dropout from 0 up to below 1")
    if params.precision == "float16" and (device != "cuda" or params.strategy == "fsdp"):
        raise TrainError("train.space.precision: float16 is for CUDA and strategy ddp; use bfloat16")
    return params


def _listed(choices: tuple[str, ...]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"
