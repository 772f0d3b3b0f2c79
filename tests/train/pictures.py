"""Small pictures whose class can be seen: bars that lie, stand, or are not there, in noise."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_ray.model import InputColumn, Signature
from mlops_ray.pixels import encode_png
from mlops_ray.train import TrialContext

__all__ = ["CLASSES", "SHAPE", "picture_context", "picture_table", "pictures"]

CLASSES = ("lying", "standing", "nothing")
SHAPE = (8, 8, 3)


def pictures(rows: int, *, seed: int) -> tuple[list[bytes], np.ndarray[Any, Any]]:
    """PNG files, and the place of the class of each."""
    generator = np.random.default_rng(seed)
    labels = np.arange(rows) % len(CLASSES)
    pixels = generator.normal(90, 20, (rows, *SHAPE))
    for picture, label in zip(pixels, labels, strict=True):
        place = generator.integers(1, SHAPE[0] - 1)
        if label == 0:
            picture[place] += 100
        elif label == 1:
            picture[:, place] += 100
    files = [encode_png(picture) for picture in pixels.clip(0, 255).astype(np.uint8)]
    return files, labels.astype(np.float64)


def picture_table(files: list[bytes]) -> pa.Table:
    """As `Part.pictures` has them."""
    return pa.table({"picture": pa.array(files, pa.large_binary())})


def picture_context(
    reports: list[tuple[int, dict[str, float]]] | None = None,
    *,
    rows: int = 240,
    binary: bool = False,
    **changes: Any,
) -> TrialContext:
    """The context of one trial; with `binary` the label is whether a bar is there."""
    noted: list[tuple[int, dict[str, float]]] = [] if reports is None else reports
    files, labels = pictures(rows, seed=1)
    watched, known = pictures(90, seed=2)
    column = InputColumn("picture", "image", False, shape=SHAPE)
    to_label: Callable[[Any], Any] = (lambda y: (y < 2).astype(np.float64)) if binary else (lambda y: y)
    fields: dict[str, Any] = {
        "params": {},
        "task": "binary" if binary else "multiclass",
        "metric": "accuracy",
        "maximize": True,
        "seed": 1,
        "max_iterations": 3,
        "threads": 1,
        "device": "cpu",
        "x_train": np.empty((rows, 0)),
        "y_train": to_label(labels),
        "x_valid": np.empty((90, 0)),
        "y_valid": to_label(known),
        "categorical": (),
        "signature": Signature((column,), "binary" if binary else "multiclass", None, () if binary else CLASSES),
        "report": lambda iteration, metrics: noted.append((iteration, dict(metrics))),
        "checkpoint": lambda iteration, metrics, _: noted.append((iteration, dict(metrics))),
        "train_pictures": picture_table(files),
        "valid_pictures": picture_table(watched),
    }
    return TrialContext(**fields | changes)
