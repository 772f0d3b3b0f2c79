"""Ways to train one net on pictures in JPEG; each tells how many samples a second it took, epochs after the first."""

import io
import itertools
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.image_data import CLASSES, picture_signature
from benchmarks.sweep_contestants import engine_sweep
from benchmarks.torch_speed import epochs_per_s
from mlops_ray.evaluation import score
from mlops_ray.pixels import decode_images
from mlops_ray.spec import Metric, ModelSpec
from mlops_ray.train.torchvision_import import import_torchvision
from mlops_ray.train.training_data import Part, TrainingData
from mlops_ray.train.vision_augment import augmented
from mlops_ray.train.vision_net import VisionNet, build_net
from mlops_ray.train.vision_params import VisionParams

__all__ = ["Contest", "dataloader_samples_per_s", "engine_samples_per_s", "in_memory_samples_per_s"]

_METRIC: Metric = "accuracy"
_LOOKED_AT = 512


class Contest:
    """What all contestants get: the same pictures, net, optimizer, batches, augmentation and validation."""

    def __init__(self, train: Part, valid: Part, *, size: int, epochs: int, cpus: int, **params: Any) -> None:
        """`params` are the trainer's; `device` among them is that of all contestants."""
        self.train, self.valid = train, valid
        self.size, self.epochs, self.cpus = size, epochs, cpus
        self.device = torch.device(params.pop("device", "cpu"))
        self.params: Mapping[str, Any] = {"schedule": "constant", "augment": "crop_flip"} | params

    def new_net(self) -> VisionNet:
        """With weights of the same seed."""
        torch.manual_seed(0)
        torch.set_num_threads(self.cpus)
        sample = decode_images(_files(self.train)[:256], (self.size, self.size, 3))
        return build_net(picture_signature(self.size), sample, VisionParams(**self.params)).to(self.device)


def engine_samples_per_s(contest: Contest, folder: Path, *, decoding: str, workers: int = 1) -> float:
    """The trainer in a sweep of one trial, from the times at which its epochs came to MLflow."""
    gpus = 1 if contest.device.type == "cuda" else 0
    spec = ModelSpec.model_validate(
        {
            "name": "image_bench",
            "data": {
                "source": "/nowhere",
                "label": "label",
                "classes": list(CLASSES),
                "features": {"image": {"type": "image", "height": contest.size, "width": contest.size}},
            },
            "train": {
                "task": "multiclass",
                "metric": _METRIC,
                "trainer": "torchvision",
                "trials": 1,
                "scheduler": "none",
                "max_iterations": contest.epochs,
                "workers": workers,
                "resources": {"cpus": contest.cpus, "gpus": gpus},
                "space": {**contest.params, "patience": contest.epochs, "decoding": decoding},
            },
        }
    )
    engine_sweep(spec, _training_data(contest), folder)
    return len(contest.train.y) * epochs_per_s(folder, _METRIC, contest.epochs)


def dataloader_samples_per_s(contest: Contest, *, loaders: int) -> float:
    """A loop as in a PyTorch tutorial: a DataLoader whose processes decode and augment by torchvision's transforms."""
    loader = DataLoader(
        _Files(_files(contest.train), contest.train.y, contest.size),
        batch_size=VisionParams(**contest.params).batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=loaders,
        persistent_workers=loaders > 0,
        prefetch_factor=4 if loaders else None,
        pin_memory=contest.device.type == "cuda",
        # the process that asks is connected to Ray, whose threads a fork does not have
        multiprocessing_context="spawn" if loaders else None,
    )
    return _looped(contest, lambda: ((pixels.permute(0, 2, 3, 1), labels) for pixels, labels in loader))


def in_memory_samples_per_s(contest: Contest) -> float:
    """The same loop over pixels that were decoded before: no loader can be faster."""
    shape = (contest.size, contest.size, 3)
    pixels = torch.from_numpy(decode_images(_files(contest.train), shape)).to(contest.device)
    labels = torch.from_numpy(contest.train.y).long().to(contest.device)
    size, seeds = VisionParams(**contest.params).batch_size, itertools.count()

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for places in torch.randperm(len(labels)).to(contest.device).split(size):
            if len(places) == size:
                yield augmented(pixels[places], str(contest.params["augment"]), next(seeds)), labels[places]

    return _looped(contest, batches)


def _looped(contest: Contest, batches: Any) -> float:
    net, params = contest.new_net(), VisionParams(**contest.params)
    step = torch.compile(net) if params.compile else net
    half = params.precision == "bfloat16"
    optimizer = torch.optim.AdamW(net.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)
    shape = (contest.size, contest.size, 3)
    watched = torch.from_numpy(decode_images(_files(contest.valid), shape)).to(contest.device)
    ends: list[float] = []
    for _ in range(contest.epochs):
        net.train()
        for pixels, labels in batches():
            there = pixels.to(contest.device, non_blocking=True), labels.to(contest.device, non_blocking=True)
            optimizer.zero_grad()
            with torch.autocast(contest.device.type, dtype=torch.bfloat16, enabled=half):
                raw = step(there[0])
            nn.functional.cross_entropy(raw.float(), there[1]).backward()
            optimizer.step()
        net.eval()
        with torch.inference_mode():
            answers = torch.cat([net.answers(net(part)) for part in watched.split(_LOOKED_AT)])
        score(_METRIC, contest.valid.y, answers.cpu().numpy())
        ends.append(time.perf_counter())
    return len(contest.train.y) * (contest.epochs - 1) / (ends[-1] - ends[0])


class _Files(Dataset[tuple[Tensor, int]]):
    """Pictures one by one, (channels, height, width), uint8, augmented as torchvision's references do it."""

    def __init__(self, files: list[bytes], labels: np.ndarray[Any, Any], size: int) -> None:
        self._files, self._labels, self._size = files, labels.astype(np.int64), size
        self._change: Any = None

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        if self._change is None:  # in the process that loads
            v2 = import_torchvision("torchvision.transforms.v2")
            crop = v2.RandomCrop(self._size, padding=self._size // 8, padding_mode="reflect")
            self._change = v2.Compose([crop, v2.RandomHorizontalFlip()])
        with Image.open(io.BytesIO(self._files[place])) as image:
            pixels = torch.from_numpy(np.array(image.convert("RGB")))
        return self._change(pixels.permute(2, 0, 1)), int(self._labels[place])


def _training_data(contest: Contest) -> TrainingData:
    """What `mlops_ray.train.training_data.prepare` would make of the pictures; nobody looks at a holdout here."""
    empty = pa.table({"image": pa.array([], pa.large_binary())})
    signature = picture_signature(contest.size)
    return TrainingData(
        signature, contest.train, contest.valid, contest.valid, empty, empty, contest.valid.x[:0], unlabelled=0
    )


def _files(part: Part) -> list[bytes]:
    assert part.pictures is not None
    files: list[bytes] = part.pictures.column(0).to_pylist()
    return files
