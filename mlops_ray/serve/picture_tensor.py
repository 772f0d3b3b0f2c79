"""A tensor of pictures to rows of the matrix: encoded files, or the pixels themselves."""

import base64
import binascii
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import RequestError
from mlops_ray.model import InputColumn
from mlops_ray.serve.picture_rows import picture_rows
from mlops_ray.serve.tensor_values import NUMPY, Tensor, binary_elements, tensor_values

__all__ = ["picture_tensor"]

Matrix = NDArray[np.float64]
_LARGEST = 255.0


def picture_tensor(column: InputColumn, tensor: Tensor, raw: bytes | None, path: str, *, max_rows: int) -> Matrix:
    """The pixels (n, width) of a tensor: BYTES of encoded pictures (base64 in JSON), or numbers of the right shape.

    `raw` is its binary data, None where the values are in the JSON.

    Raises:
        RequestError: 422 for another shape, datatype or value, 400 for damaged binary data, 413 for too many rows.
    """
    rows = tensor.shape[0] if tensor.shape else 0
    if rows > max_rows:
        raise RequestError(
            f"expected at most {max_rows} pictures (serve.max_rows, serve.max_body_bytes), found {rows}", path, 413
        )
    if tensor.datatype != "BYTES":
        return _pixels(column, tensor, raw, path)
    return picture_rows(column, _contents(tensor, raw, path), lambda place: f"{path}.data[{place}]")


def _contents(tensor: Tensor, raw: bytes | None, path: str) -> list[bytes]:
    if raw is None:
        return [
            _from_base64(value, f"{path}.data[{place}]") for place, value in enumerate(tensor_values(tensor, raw, path))
        ]
    shape, found = tensor.shape, binary_elements(raw, path)
    if shape not in ([len(found)], [len(found), 1]):
        raise RequestError(
            f"tensor {tensor.name!r} must have shape [n] or [n, 1], found {shape} and {len(found)} values", path
        )
    return found


def _from_base64(value: Any, path: str) -> bytes:
    try:
        return base64.b64decode(value or "", validate=True)
    except (binascii.Error, ValueError):
        raise RequestError("expected an encoded picture as base64 text", path) from None


def _pixels(column: InputColumn, tensor: Tensor, raw: bytes | None, path: str) -> Matrix:
    assert column.shape is not None, "only an image has pixels"
    height, width, channels = column.shape
    wanted = f"BYTES [n], or UINT8 or FP32 [n, {height}, {width}, {channels}]"
    if tensor.datatype not in ("UINT8", "FP32") or tensor.shape[1:] != [height, width, channels] or tensor.shape[0] < 0:
        raise RequestError(f"tensor {tensor.name!r} must be {wanted}, found {tensor.datatype} {tensor.shape}", path)
    size = tensor.shape[0] * height * width * channels
    numbers = _from_json(tensor, path) if raw is None else _from_raw(tensor, raw, size, path)
    if numbers.size != size:
        raise RequestError(f"tensor {tensor.name!r} has shape {tensor.shape} but {numbers.size} values", path)
    if not ((numbers >= 0) & (numbers <= _LARGEST)).all():  # NaN is neither
        raise RequestError(f"expected pixels from 0 to {_LARGEST:g} in tensor {tensor.name!r}", path)
    return numbers.reshape(tensor.shape[0], height * width * channels)


def _from_json(tensor: Tensor, path: str) -> Matrix:
    try:
        numbers = np.array(tensor.data or [])
    except ValueError:
        raise RequestError(f"the lists in tensor {tensor.name!r} have different lengths", f"{path}.data") from None
    if numbers.size and numbers.dtype.kind not in "iuf":
        raise RequestError(f"expected numbers in tensor {tensor.name!r}", f"{path}.data")
    return numbers.astype(np.float64).reshape(-1)


def _from_raw(tensor: Tensor, raw: bytes, size: int, path: str) -> Matrix:
    dtype = NUMPY[tensor.datatype]
    if len(raw) != size * dtype.itemsize:
        raise RequestError(
            f"tensor {tensor.name!r} of {tensor.datatype} {tensor.shape} needs {size * dtype.itemsize} bytes, found "
            f"{len(raw)}",
            path,
            400,
        )
    return np.frombuffer(raw, dtype=dtype).astype(np.float64)
