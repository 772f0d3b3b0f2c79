"""One tensor of an infer request to one column of the matrix, from JSON or from binary data."""

import reprlib
import struct
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import RequestError
from mlops_ray.model import InputColumn
from mlops_ray.serve.request import IDENTITY_LENGTH, LARGEST_INTEGER

__all__ = [
    "DATATYPES",
    "NUMPY",
    "Tensor",
    "as_unit",
    "binary_elements",
    "check_values",
    "encode_tensor",
    "first_unit",
    "output_bytes",
    "output_datatype",
    "tensor_values",
]

NUMPY = {
    "BOOL": np.dtype("?"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_INTEGERS = tuple(name for name in NUMPY if "INT" in name)
_FLOATS = ("FP16", "FP32", "FP64")
DATATYPES = {
    "float": (*_FLOATS, *_INTEGERS),
    "int": (*_INTEGERS, *_FLOATS),
    "bool": ("BOOL", *_INTEGERS),
    "category": ("BYTES",),
    "image": ("BYTES", "UINT8", "FP32"),
}
"""What a tensor of a feature of each type may be of."""
# What JSON values a tensor may have; int or float for every other datatype.
_JSON_TYPES: dict[str, tuple[type, ...]] = {"BYTES": (str,), "BOOL": (bool, int, float)}
_NAMES = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


class Tensor(msgspec.Struct):
    """A tensor of an infer request; `data` is absent where its values are binary."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


def tensor_values(tensor: Tensor, binary: bytes | None, path: str) -> NDArray[Any]:
    """The values (n,) of a tensor of shape [n] or [n, 1]: numbers, or objects (str or None) for BYTES.

    `binary` is its binary data, None where the values are in the JSON; `path` is where it stands in the body.

    Raises:
        RequestError: shape, datatype and values do not go together.
    """
    shape = tensor.shape
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1) or shape[0] < 0:
        raise RequestError(f"tensor {tensor.name!r} must have shape [n] or [n, 1], found {shape}", f"{path}.shape")
    if tensor.datatype != "BYTES" and tensor.datatype not in NUMPY:
        raise RequestError(
            f"tensor {tensor.name!r} must be of {', '.join(NUMPY)} or BYTES, found {tensor.datatype!r}",
            f"{path}.datatype",
        )
    values = _from_json(tensor, path) if binary is None else _from_binary(tensor, binary, path)
    if len(values) != shape[0]:
        raise RequestError(f"tensor {tensor.name!r} has shape {shape} but {len(values)} values", path)
    return values


def encode_tensor(column: InputColumn, tensor: Tensor, values: NDArray[Any]) -> NDArray[np.float64]:
    """`values` (n,) as the column of the matrix that a model with this signature takes.

    Raises:
        RequestError: the tensor is of another type than the column, or a value is not one of the column's.
    """
    path = f"$.inputs[{column.name}]"
    accepted = DATATYPES[column.type]
    if tensor.datatype not in accepted:
        raise RequestError(f"tensor {column.name!r} must be of {' or '.join(accepted)}, found {tensor.datatype}", path)
    if column.type == "category":
        unseen = float(len(column.categories))
        encoded = np.array([np.nan if v is None else column.codes.get(v, unseen) for v in values], dtype=np.float64)
    else:
        encoded = values.astype(np.float64)
    check_values(column, encoded, path)
    return encoded


def check_values(column: InputColumn, encoded: NDArray[np.float64], path: str) -> None:
    """Whether all of the encoded values (n,) are ones that plain JSON could have said.

    Raises:
        RequestError: null where none may be, infinity, a fraction in an int column, or no bool in a bool column.
    """
    null = np.isnan(encoded)
    if null.any():
        if not column.nullable:
            raise RequestError(f"null or NaN in {column.name!r}, which must have a value in every row", path)
        encoded = encoded[~null]
    if not np.isfinite(encoded).all():
        raise RequestError(f"infinite value in {column.name!r}", path)
    if column.type == "int" and ((encoded != np.floor(encoded)) | (abs(encoded) > LARGEST_INTEGER)).any():
        raise RequestError(f"{column.name!r} must have whole numbers between -2**53 and 2**53", path)
    if column.type == "bool" and not ((encoded == 0.0) | (encoded == 1.0)).all():
        raise RequestError(f"{column.name!r} must have true or false", path)


def first_unit(values: NDArray[Any], path: str) -> str | None:
    """The unit of a request whose rows name theirs: that of the first row.

    Raises:
        RequestError: it is neither text nor a whole number, or longer than allowed.
    """
    if not len(values) or values[0] is None:
        return None
    return as_unit(values[0].item() if isinstance(values[0], np.generic) else values[0], path)


def as_unit(value: Any, path: str) -> str | None:
    """A unit as text; see `first_unit`."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not _is_identity(value):
        raise RequestError(
            f"expected a unit that is text of at most {IDENTITY_LENGTH} characters or a whole number of 64 bits, found "
            f"{reprlib.repr(value)}",
            path,
        )
    return str(value)


def _is_identity(value: Any) -> bool:
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, str) and len(value) <= IDENTITY_LENGTH


def _from_json(tensor: Tensor, path: str) -> NDArray[Any]:
    data = [v[0] if isinstance(v, list) and len(v) == 1 else v for v in tensor.data or []]
    kind = _JSON_TYPES.get(tensor.datatype, (int, float))
    bad = next((v for v in data if v is not None and not _is_a(v, kind)), None)
    if bad is not None:
        names = " or ".join(_NAMES[k] for k in kind)
        found = f"{reprlib.repr(bad)} in tensor {tensor.name!r} of {tensor.datatype}"
        raise RequestError(f"expected {names}, found {found}", f"{path}.data")
    if tensor.datatype == "BYTES":
        return _objects(data)
    try:
        return np.array(data, dtype=np.float64)
    except OverflowError:
        raise RequestError(f"a number in tensor {tensor.name!r} is too large", f"{path}.data") from None


def _is_a(value: Any, kind: tuple[type, ...]) -> bool:
    return isinstance(value, kind) and (bool in kind or not isinstance(value, bool))


def _from_binary(tensor: Tensor, raw: bytes, path: str) -> NDArray[Any]:
    if tensor.datatype == "BYTES":
        return _objects(_strings(raw, path))
    dtype = NUMPY[tensor.datatype]
    if len(raw) != tensor.shape[0] * dtype.itemsize:
        raise RequestError(
            f"tensor {tensor.name!r} of {tensor.datatype} {tensor.shape} needs {tensor.shape[0] * dtype.itemsize} "
            f"bytes, found {len(raw)}",
            path,
            400,
        )
    return np.frombuffer(raw, dtype=dtype)


def _objects(values: list[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def binary_elements(raw: bytes, path: str) -> list[bytes]:
    """Elements of a BYTES tensor in binary: each a little-endian uint32 length and as many bytes.

    Raises:
        RequestError: 400, it is damaged.
    """
    values, offset = [], 0
    try:
        while offset < len(raw):
            (length,) = struct.unpack_from("<I", raw, offset)
            offset += 4
            if offset + length > len(raw):
                raise RequestError("a BYTES element is longer than the data", path, 400)
            values.append(raw[offset : offset + length])
            offset += length
    except struct.error as error:
        raise RequestError(f"BYTES data is damaged: {error}", path, 400) from None
    return values


def _strings(raw: bytes, path: str) -> list[str]:
    try:
        return [value.decode() for value in binary_elements(raw, path)]
    except UnicodeDecodeError as error:
        raise RequestError(f"BYTES data is damaged: {error}", path, 400) from None


def output_datatype(values: NDArray[Any]) -> str:
    """The protocol's name for what an output is made of: int64, float64, or texts."""
    return {"i": "INT64", "O": "BYTES"}.get(values.dtype.kind, "FP64")


def output_bytes(values: NDArray[Any]) -> bytes:
    """An output as binary data, row by row."""
    if values.dtype.kind == "O":
        texts = [text.encode() for text in values.tolist()]
        return b"".join(part for text in texts for part in (struct.pack("<I", len(text)), text))
    return values.astype(NUMPY[output_datatype(values)]).tobytes()
