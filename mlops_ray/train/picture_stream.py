"""Pictures in a given order, decoded and augmented by Ray Data's tasks; knows no net, and torch only to augment."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray

from mlops_ray.errors import TrainError
from mlops_ray.pixels import Shape, decode_images

__all__ = ["PictureStream", "mixed_seed"]

Places = NDArray[np.int64]
Pixels = NDArray[np.uint8]

_A_TASK = 1024  # pictures of a task at least
_AHEAD = 4  # batches that wait for the net


def mixed_seed(*numbers: int) -> int:
    """A seed for each sequence of numbers.

    >>> mixed_seed(1, 2), mixed_seed(2, 1)
    (1596810411, 307626447)
    """
    return int(np.random.SeedSequence(numbers).generate_state(1)[0]) % 2**31


class PictureStream:
    """The pictures of one table, in any order and as often as wanted.

    Where this process is connected to Ray, the files lie in the object store, and tasks take from there what they
    decode; a task asks for no CPU, because those of a trial are the trial's. Elsewhere this process does it all.
    """

    def __init__(self, table: pa.Table, shape: Shape, *, tasks: int) -> None:
        """`table` has one column; `tasks` is how many may run at the same time."""
        self._shape = shape
        self._tasks = max(1, tasks)
        self._table = table
        self._ref = ray.put(table) if ray.is_initialized() else None

    def __len__(self) -> int:
        rows: int = self._table.num_rows
        return rows

    def batches(self, order: Places, *, size: int, augment: str = "none", seed: int = 0) -> Iterator[Pixels]:
        """Pixels (size, height, width, channels) of the pictures at these places, the last batch may be smaller.

        The same for the same arguments, wherever they are decoded.
        """
        if self._ref is None:
            for start in range(0, len(order), size):
                places = order[start : start + size]
                yield _pixels(self._table, places, shape=self._shape, augment=augment, seed=seed, at=start)
            return
        yield from self._by_ray(order, size=size, augment=augment, seed=seed)

    def _by_ray(self, order: Places, *, size: int, augment: str, seed: int) -> Iterator[Pixels]:
        # ray.data takes seconds to import, and most trials have no pictures
        from mlops_ray.data.ray_data import quiet

        arguments = {"table": self._ref, "shape": self._shape, "augment": augment, "seed": seed}
        step = size * max(1, _A_TASK // size)  # whole batches, so that each has a seed of its own
        blocks = [
            pa.table({"place": order[start : start + step], "at": np.arange(start, min(start + step, len(order)))})
            for start in range(0, len(order), step)
        ]
        with quiet():
            dataset = ray.data.from_blocks(blocks).map_batches(
                _prepared,
                batch_size=size,
                batch_format="numpy",
                zero_copy_batch=True,
                fn_kwargs=arguments,
                num_cpus=0,
                concurrency=min(self._tasks, len(blocks)),
            )
            for batch in dataset.iter_batches(batch_size=size, batch_format="numpy", prefetch_batches=_AHEAD):
                yield batch["pixels"]


def _prepared(rows: dict[str, Any], *, table: Any, shape: Shape, augment: str, seed: int) -> dict[str, Pixels]:
    """What a task does with one batch."""
    files = ray.get(table) if isinstance(table, ray.ObjectRef) else table
    return {"pixels": _pixels(files, rows["place"], shape=shape, augment=augment, seed=seed, at=int(rows["at"][0]))}


def _pixels(table: pa.Table, places: Places, *, shape: Shape, augment: str, seed: int, at: int) -> Pixels:
    try:
        pixels = decode_images(table.column(0).take(pa.array(places)).to_pylist(), shape)
    except ValueError as error:
        raise TrainError(f"a training picture cannot be read: {error}") from None
    if augment == "none":
        return pixels
    # torch: 2 s that decoding alone does not need
    import torch

    from mlops_ray.train.vision_augment import augmented

    changed: Pixels = augmented(torch.from_numpy(pixels), augment, mixed_seed(seed, at)).numpy()
    return changed
