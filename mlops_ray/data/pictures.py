"""Columns of encoded pictures, in the ways that datasets have them; pure."""

import base64
import binascii

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pat

from mlops_ray.pixels import decode_image

__all__ = ["accepts_pictures", "to_pictures"]

Mask = npt.NDArray[np.bool_]
_LOOKED_AT = (8, 8, 3)  # what a picture is decoded to, to see that it can be
_BYTES = "bytes"  # where Hugging Face datasets keep the file of an image


def accepts_pictures(found: pa.DataType) -> bool:
    """Whether a column of this type can hold encoded pictures: binary, or a struct with a field `bytes`."""
    if pat.is_struct(found):
        return bool(found.get_field_index(_BYTES) >= 0 and _is_binary(found.field(_BYTES).type))
    return _is_binary(found)


def to_pictures(values: pa.Array) -> tuple[pa.Array, tuple[tuple[str, Mask], ...]]:
    """The files as large_binary, null where they are none, and in which rows; text is taken for base64.

    Each picture is decoded: one that cannot be would end a training half way.
    """
    contents = _contents(values)
    wrong = np.zeros(len(values), dtype=bool)
    for place, content in enumerate(contents):
        if content is None:
            wrong[place] = values[place].is_valid
        elif not _can_be_read(content):
            wrong[place] = True
            contents[place] = None
    problems = (("not a picture (JPEG, PNG or WebP) that can be read", wrong),) if wrong.any() else ()
    return pa.array(contents, pa.large_binary()), problems


def _contents(values: pa.Array) -> list[bytes | None]:
    if pat.is_struct(values.type):
        values = pa.array(
            [None if item is None else item[_BYTES] for item in values.to_pylist()], values.type.field(_BYTES).type
        )
    return [_decoded(item) if isinstance(item, str) else item for item in values.to_pylist()]


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _can_be_read(content: bytes) -> bool:
    try:
        decode_image(content, _LOOKED_AT)
    except ValueError:
        return False
    return True


def _is_binary(found: pa.DataType) -> bool:
    return bool(pat.is_binary(found) or pat.is_large_binary(found) or pat.is_binary_view(found))
