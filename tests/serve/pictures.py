"""Pictures, and the signatures of models that see several classes."""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlops_ray.model import InputColumn, Signature
from mlops_ray.pixels import encode_png
from tests.serve.samples import SIGNATURE

CLASSES = ("red", "green", "blue")
SIDE = 4
PICTURES = Signature(
    inputs=(InputColumn("photo", "image", nullable=False, shape=(SIDE, SIDE, 3)),),
    task="multiclass",
    unit="customer",
    classes=CLASSES,
)
TABLE = Signature(inputs=SIGNATURE.inputs, task="multiclass", unit="customer", classes=CLASSES)


def pixels(colour: int, *, side: int = SIDE) -> NDArray[np.uint8]:
    """A picture of one colour: 0 is red, 1 green, 2 blue."""
    picture = np.zeros((side, side, 3), dtype=np.uint8)
    picture[:, :, colour] = 200
    return picture


def png(colour: int, *, side: int = SIDE) -> bytes:
    """The same as a file."""
    return encode_png(pixels(colour, side=side))


def as_file(colour: int, kind: str) -> bytes:
    """The same in another format, which may lose something."""
    sink = io.BytesIO()
    Image.fromarray(pixels(colour, side=32)).save(sink, format=kind)
    return sink.getvalue()


def text(content: bytes) -> str:
    """A file as JSON carries it."""
    return base64.b64encode(content).decode()


def record(colour: int, **more: Any) -> dict[str, Any]:
    """A record that the model of pictures accepts."""
    return {"photo": text(png(colour)), **more}
