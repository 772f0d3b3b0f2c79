"""The pictures that every contestant of the image benchmarks gets: JPEG files whose class can be seen in noise."""

import io

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from mlops_ray.model import InputColumn, Signature
from mlops_ray.train.training_data import Part

__all__ = ["CLASSES", "picture_part", "picture_signature"]

CLASSES = tuple(f"angle{number}" for number in range(10))
_CONTRAST, _NOISE = 40.0, 30.0


def picture_part(rows: int, *, size: int, seed: int) -> Part:
    """Waves in one of ten directions, `size` pixels wide, with noise in each channel."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, len(CLASSES), rows)
    across, down = np.meshgrid(np.arange(size), np.arange(size))
    files: list[bytes] = []
    for label in labels:
        angle = np.pi * label / len(CLASSES)
        wave = np.sin((across * np.cos(angle) + down * np.sin(angle)) * 24 / size + generator.uniform(0, 2 * np.pi))
        pixels = 128 + _CONTRAST * wave[:, :, None] + generator.normal(0, _NOISE, (size, size, 3))
        files.append(_jpeg(pixels.clip(0, 255).astype(np.uint8)))
    table = pa.table({"image": pa.array(files, pa.large_binary())})
    return Part(np.empty((rows, 0)), labels.astype(np.float64), table)


def picture_signature(size: int) -> Signature:
    """Of a model of these pictures."""
    return Signature((InputColumn("image", "image", False, shape=(size, size, 3)),), "multiclass", None, CLASSES)


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, format="JPEG", quality=85)
    return sink.getvalue()
