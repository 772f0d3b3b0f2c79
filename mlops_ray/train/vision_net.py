"""Networks that classify pictures: ours for small ones, or one of torchvision's, with what they know of the pixels."""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mlops_ray.errors import TrainError
from mlops_ray.model import Signature
from mlops_ray.pixels import Shape
from mlops_ray.train.torchvision_import import import_torchvision
from mlops_ray.train.vision_params import VisionParams

__all__ = ["VisionNet", "build_net", "lay_out"]

_SMALL = "small"


class VisionNet(nn.Module):
    """A classifier that takes pixels as they are: 0 to 255, (rows, height, width, channels).

    The scale of the pixels, learnt of the training pictures, is inside. `forward` makes raw scores, (rows,) for a
    binary task and (rows, classes) otherwise; `answers` makes probabilities of them; `predictions` takes what
    `mlops_ray.model.encode` makes, float64 (rows, height * width * channels).
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, body: nn.Module, shape: Shape, classes: int, sample: NDArray[np.uint8], *, channels_last: bool
    ) -> None:
        """`body` takes float32 (rows, channels, height, width) and answers (rows, classes or 1)."""
        super().__init__()
        self.channels_last = channels_last
        self.body = body
        self.shape = shape
        self.classes = classes
        pixels = sample.reshape(-1, shape[2]).astype(np.float64)
        self.register_buffer("mean", torch.tensor(pixels.mean(axis=0), dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(1 / np.maximum(pixels.std(axis=0), 1.0), dtype=torch.float32))

    def forward(self, pixels: Tensor) -> Tensor:
        """Raw scores of pixels of any dtype."""
        scaled = ((pixels.float() - self.mean) * self.scale).permute(0, 3, 1, 2)
        answer: Tensor = self.body(scaled if self.channels_last else scaled.contiguous())
        return answer if self.classes else answer.squeeze(1)

    def answers(self, raw: Tensor) -> Tensor:
        """Raw scores as probabilities in float64."""
        return torch.softmax(raw.double(), dim=1) if self.classes else torch.sigmoid(raw.double())

    def predictions(self, rows: Tensor) -> Tensor:
        """Probabilities (rows,) or (rows, classes)."""
        return self.answers(self(rows.reshape(-1, *self.shape)))


def build_net(signature: Signature, sample: NDArray[np.uint8], params: VisionParams) -> VisionNet:
    """A net with random weights for the pictures and classes of `signature`.

    Args:
        sample: (n, height, width, channels), of which mean and deviation of each channel are learnt.

    Raises:
        TrainError: torchvision has no such classification model, or the model does not take such pictures.
    """
    assert signature.image is not None
    assert signature.image.shape is not None
    shape, classes = signature.image.shape, len(signature.classes)
    if params.architecture == _SMALL:
        body: nn.Module = _SmallNet(shape[2], classes or 1, width=params.width, dropout=params.dropout)
    else:
        body = _of_torchvision(params.architecture, shape, classes or 1)
    net = VisionNet(body, shape, classes, sample, channels_last=params.channels_last)
    lay_out(net, torch.channels_last if params.channels_last else torch.contiguous_format)
    return net


def lay_out(net: nn.Module, layout: torch.memory_format) -> None:
    """Let the weights of convolutions lie in memory so."""
    for weights in net.parameters():
        if weights.ndim == 4:
            weights.data = weights.data.contiguous(memory_format=layout)


def _of_torchvision(name: str, shape: Shape, outputs: int) -> nn.Module:
    models = import_torchvision("torchvision.models")
    known: Sequence[str] = models.list_models(module=models)
    if name not in known:
        raise TrainError(
            f"train.space.architecture: expected {_SMALL} or a classification model of torchvision, such as resnet18, "
            f"mobilenet_v3_small or convnext_tiny; found {name!r}"
        )
    options: dict[str, Any] = {"weights": None, "num_classes": outputs}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True}
    if "image_size" in inspect.signature(models.get_model_builder(name)).parameters or name.startswith("vit_"):
        options["image_size"] = shape[0]
    body: nn.Module = models.get_model(name, **options)
    if shape[2] == 1:
        body = nn.Sequential(_Repeat(), body)
    _try(body, name, shape)
    return body


def _try(body: nn.Module, name: str, shape: Shape) -> None:
    """Models halve pictures several times, and few say how small one may be."""
    body.eval()
    try:
        with torch.inference_mode():
            body(torch.zeros(1, shape[2], shape[0], shape[1]))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise TrainError(
            f"train.space.architecture: {name} does not take pictures of {shape[0]} x {shape[1]} pixels ({error})"
        ) from error
    body.train()


class _Repeat(nn.Module):
    """A grey picture in three channels, for models that want them."""

    def forward(self, pixels: Tensor) -> Tensor:
        """(rows, 1, height, width) to (rows, 3, height, width)."""
        return pixels.expand(-1, 3, -1, -1)


class _SmallNet(nn.Module):
    """Three halvings, two residual blocks and six convolutions: after David Page's ResNet9, a third of its work.

    https://myrtle.ai/learn/how-to-train-your-resnet/
    """

    def __init__(self, channels: int, outputs: int, *, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _convolution(channels, width),
            _halved(),
            _convolution(width, 2 * width),
            _Residual(2 * width),
            _halved(),
            _convolution(2 * width, 4 * width),
            _Residual(4 * width),
            _halved(),
            _convolution(4 * width, 4 * width),
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * width, outputs))

    def forward(self, pixels: Tensor) -> Tensor:
        """(rows, channels, height, width) to (rows, outputs)."""
        answer: Tensor = self.head(self.layers(pixels).mean(dim=(2, 3)))
        return answer


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = _convolution(channels, channels)

    def forward(self, pixels: Tensor) -> Tensor:
        """The same shape."""
        answer: Tensor = pixels + self.layer(pixels)
        return answer


def _convolution(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


def _halved() -> nn.MaxPool2d:
    # rounded up: a picture of one pixel stays one
    return nn.MaxPool2d(2, ceil_mode=True)
