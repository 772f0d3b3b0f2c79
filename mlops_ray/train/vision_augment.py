"""Random changes to pictures that leave their class as it is, for a whole batch at a time; the same for a seed."""

import torch
from torch import Tensor

from mlops_ray.train.torchvision_import import import_torchvision

__all__ = ["augmented"]

_SHIFT = 8  # a picture is moved by up to an eighth of its size


def augmented(pixels: Tensor, kind: str, seed: int) -> Tensor:
    """Pictures (n, height, width, channels), uint8, changed each in its own way; on the device they are on.

    Args:
        kind: `none`; `crop_flip`, moved by up to an eighth and mirrored left to right; `trivial`, the same and then
            one operation of TrivialAugmentWide (https://arxiv.org/abs/2103.10158), picture by picture.
        seed: of everything that is drawn.
    """
    if kind == "none":
        return pixels
    moved = _cropped_and_flipped(pixels, torch.Generator().manual_seed(seed))
    return moved if kind == "crop_flip" else _trivially_augmented(moved, seed)


def _cropped_and_flipped(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """By one look-up: what is moved in from outside is the picture's own border, mirrored."""
    count, height, width, _ = pixels.shape
    rows = _moved(count, height, generator)
    columns = _moved(count, width, generator)
    flip = torch.rand(count, 1, generator=generator) < 0.5
    columns = torch.where(flip, columns.flip(1), columns)
    places = (torch.arange(count)[:, None, None] * height + rows[:, :, None]) * width + columns[:, None, :]
    chosen = pixels.reshape(count * height * width, -1).index_select(0, places.reshape(-1).to(pixels.device))
    return chosen.reshape(pixels.shape)


def _moved(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Of which place each place (count, size) gets its value."""
    shift = max(1, size // _SHIFT) if size > 1 else 0
    places = torch.arange(size) + torch.randint(-shift, shift + 1, (count, 1), generator=generator)
    return (size - 1) - ((size - 1) - places.abs()).abs()


def _trivially_augmented(pixels: Tensor, seed: int) -> Tensor:
    operation = import_torchvision("torchvision.transforms.v2").TrivialAugmentWide()
    devices = [pixels.device] if pixels.device.type == "cuda" else []
    # it draws from torch's own generator, which others draw from as well
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        changed = [operation(picture) for picture in pixels.permute(0, 3, 1, 2)]
    return torch.stack(changed).permute(0, 2, 3, 1).contiguous()
