"""Pixels for a net, on its device: kept in memory once they are decoded, or decoded anew each time."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mlops_ray.pixels import Shape
from mlops_ray.train.picture_stream import PictureStream, mixed_seed
from mlops_ray.train.vision_augment import augmented

__all__ = ["PictureSource"]

_DECODED = 512  # pictures at a time
_SAMPLED = 2048  # pictures that a net learns the scale of pixels from


class PictureSource:
    """The pictures of one table.

    Kept in memory as uint8, on the device, they are decoded once, by Ray Data; each batch is then augmented here, on
    the device, which takes a few microseconds a picture. Decoded each time, they are decoded and augmented by Ray
    Data's tasks while the net learns from the batch before. Either way pixels stay uint8 until they are on the device.
    """

    def __init__(self, table: pa.Table, shape: Shape, *, once: bool, device: torch.device, tasks: int) -> None:
        """`tasks`: how many of Ray Data's may run at the same time."""
        self._stream = PictureStream(table, shape, tasks=tasks)
        self._device = device
        self._kept = _decoded(self._stream, shape).to(device) if once else None
        self._shape = shape

    def __len__(self) -> int:
        return len(self._stream)

    def sample(self) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """Up to 2,048 pictures from all over the table, (n, height, width, channels)."""
        places = np.unique(np.linspace(0, len(self) - 1, min(_SAMPLED, len(self))).astype(np.int64))
        if self._kept is not None:
            found: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = self._kept[torch.from_numpy(places)].cpu().numpy()
            return found
        return np.concatenate(list(self._stream.batches(places, size=_DECODED)))

    def batches(self, order: Tensor, *, size: int, augment: str = "none", seed: int = 0) -> Iterator[Tensor]:
        """Pixels (size, height, width, channels) of the pictures at the places `order`; the last batch may be smaller.

        The same for the same arguments, where they are augmented on the same kind of device.
        """
        if self._kept is None:
            for batch in self._stream.batches(order.numpy(), size=size, augment=augment, seed=seed):
                # a copy where it stays on the CPU: what comes from Ray's object store is read-only
                yield torch.tensor(batch, device=self._device)
            return
        for number, places in enumerate(order.split(size)):
            chosen = self._kept.index_select(0, places.to(self._device))
            yield augmented(chosen, augment, mixed_seed(seed, number * size))


def _decoded(stream: PictureStream, shape: Shape) -> Tensor:
    pixels = np.empty((len(stream), *shape), dtype=np.uint8)
    done = 0
    for batch in stream.batches(np.arange(len(stream)), size=_DECODED):
        pixels[done : done + len(batch)] = batch
        done += len(batch)
    return torch.from_numpy(pixels)
