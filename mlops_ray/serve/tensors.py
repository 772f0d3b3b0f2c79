"""Open Inference Protocol v2 tensors to a matrix and back, as JSON and with the binary tensor extension.

Protocol: https://github.com/kserve/open-inference-protocol (REST) and Triton's binary tensor data extension.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import RequestError
from mlops_ray.model import InputColumn, Signature
from mlops_ray.serve.http import Response, json_response
from mlops_ray.serve.request import Rows, invalid

__all__ = ["TensorDecoder", "encode_outputs", "tensor_metadata"]

HEADER_LENGTH = b"inference-header-content-length"
_NUMPY = {
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
_PREFERRED = {"float": "FP64", "int": "INT64", "bool": "BOOL", "category": "BYTES"}
_INTEGERS = tuple(name for name in _NUMPY if "INT" in name)
_FLOATS = ("FP16", "FP32", "FP64")
_ACCEPTED = {
    "float": (*_FLOATS, *_INTEGERS),
    "int": (*_INTEGERS, *_FLOATS),
    "bool": ("BOOL", *_INTEGERS),
    "category": ("BYTES",),
}


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct):
    """The JSON part of an infer request."""

    inputs: list[_Tensor]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[_Output] = []


class TensorDecoder:
    """Decodes infer requests, one tensor a feature of shape [n] or [n, 1], for one signature."""

    def __init__(self, signature: Signature, *, max_rows: int) -> None:
        self._inputs = {column.name: column for column in signature.inputs}
        self._order = signature.inputs
        self._unit = signature.unit
        self._max_rows = max_rows
        self._decoder = msgspec.json.Decoder(InferRequest)

    def decode(self, body: bytes, header_length: bytes) -> tuple[Rows, InferRequest]:
        """The rows of an infer request, and its JSON part.

        Raises:
            RequestError: 400 for what is no infer request, 422 with the tensor's path for a wrong one.
        """
        json_part, binary = _split(body, header_length)
        try:
            request = self._decoder.decode(json_part)
        except msgspec.ValidationError as error:
            raise invalid(error) from None
        except msgspec.DecodeError as error:
            raise RequestError(f"the body is not valid JSON ({error})", status=400) from None
        values = self._values(request.inputs, binary)
        unit = request.parameters.get("unit")
        if self._unit in values:
            unit = _first(values.pop(self._unit)) if unit is None else unit
        return Rows(self._matrix(values), request.id, None if unit is None else str(unit)), request

    def _values(self, tensors: Sequence[_Tensor], binary: bytes) -> dict[str, NDArray[Any]]:
        values: dict[str, NDArray[Any]] = {}
        offset = 0
        for i, tensor in enumerate(tensors):
            path = f"$.inputs[{i}]"
            self._check_name(tensor.name, values, path)
            size = tensor.parameters.get("binary_data_size")
            if size is None:
                values[tensor.name] = _from_json(tensor, path)
            else:
                if not isinstance(size, int) or size < 0 or offset + size > len(binary):
                    raise RequestError(
                        f"binary_data_size of tensor {tensor.name!r} is {size!r}, "
                        f"but {len(binary) - offset} bytes of binary data are left",
                        path,
                        400,
                    )
                values[tensor.name] = _from_binary(tensor, binary[offset : offset + size], path)
                offset += size
        return values

    def _check_name(self, name: str, seen: Mapping[str, Any], path: str) -> None:
        if name in seen:
            raise RequestError(f"tensor {name!r} is there twice", path)
        if name not in self._inputs and name != self._unit:
            raise RequestError(f"unknown tensor {name!r}; expected {', '.join(self._inputs)}", path)

    def _matrix(self, values: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        missing = [c.name for c in self._order if c.name not in values and not c.nullable]
        if missing:
            raise RequestError(f"missing tensor {missing[0]!r}; expected {', '.join(self._inputs)}", "$.inputs")
        rows = {len(v) for v in values.values()}
        if len(rows) != 1 or rows == {0}:
            raise RequestError(
                f"tensors must have the same number of rows, at least 1, found {sorted(rows)}", "$.inputs"
            )
        n = rows.pop()
        if n > self._max_rows:
            raise RequestError(f"expected at most {self._max_rows} rows (serve.max_rows), found {n}", "$.inputs", 413)
        matrix = np.full((n, len(self._order)), np.nan)
        for i, column in enumerate(self._order):
            if column.name in values:
                matrix[:, i] = _encode(column, values[column.name])
        return matrix


def tensor_metadata(signature: Signature) -> dict[str, list[dict[str, Any]]]:
    """`inputs` and `outputs` of the model metadata answer."""
    outputs = [{"name": "score", "datatype": "FP64", "shape": [-1]}]
    if signature.task == "binary":
        outputs.append({"name": "label", "datatype": "INT64", "shape": [-1]})
    inputs = [{"name": c.name, "datatype": _PREFERRED[c.type], "shape": [-1]} for c in signature.inputs]
    return {"inputs": inputs, "outputs": outputs}


def encode_outputs(request: InferRequest, answer: Mapping[str, Any], outputs: Mapping[str, NDArray[Any]]) -> Response:
    """The infer answer: tensors as JSON, or as binary where the request asks so.

    Raises:
        RequestError: 422 for an output the model does not have.
    """
    wanted = {o.name: o.parameters for o in request.outputs} or dict.fromkeys(outputs, request.parameters)
    tensors: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for i, (name, parameters) in enumerate(wanted.items()):
        if name not in outputs:
            raise RequestError(f"unknown output {name!r}; expected {', '.join(outputs)}", f"$.outputs[{i}].name")
        values = outputs[name]
        datatype = "INT64" if values.dtype.kind == "i" else "FP64"
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": [len(values)]}
        if parameters.get("binary_data", request.parameters.get("binary_data_output", False)):
            binary.append(values.astype(_NUMPY[datatype]).tobytes())
            tensor["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            tensor["data"] = values.tolist()
        tensors.append(tensor)
    response = json_response({**answer, "outputs": tensors})
    if not binary:
        return response
    length = str(len(response.body)).encode()
    body = b"".join((response.body, *binary))
    return Response(body, 200, b"application/octet-stream", ((HEADER_LENGTH, length),))


def _split(body: bytes, header_length: bytes) -> tuple[bytes, bytes]:
    if not header_length:
        return body, b""
    if not header_length.isdigit() or int(header_length) > len(body):
        raise RequestError(
            f"header Inference-Header-Content-Length is {header_length.decode('latin-1')!r}, "
            f"but the body has {len(body)} bytes",
            status=400,
        )
    n = int(header_length)
    return body[:n], body[n:]


def _rows_of(tensor: _Tensor, path: str) -> int:
    shape = tensor.shape
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1) or shape[0] < 0:
        raise RequestError(f"tensor {tensor.name!r} must have shape [n] or [n, 1], found {shape}", f"{path}.shape")
    return shape[0]


def _from_json(tensor: _Tensor, path: str) -> NDArray[Any]:
    n = _rows_of(tensor, path)
    data = [v[0] if isinstance(v, list) and len(v) == 1 else v for v in tensor.data or []]
    if len(data) != n:
        raise RequestError(f"tensor {tensor.name!r} has shape {tensor.shape} but {len(data)} values", f"{path}.data")
    if tensor.datatype == "BYTES":
        bad = next((v for v in data if v is not None and not isinstance(v, str)), None)
        if bad is not None:
            raise RequestError(f"expected strings in tensor {tensor.name!r}, found {bad!r}", f"{path}.data")
        return np.array([*data, None], dtype=object)[:-1]
    bad = next((v for v in data if v is not None and not isinstance(v, int | float)), None)
    if bad is not None or tensor.datatype not in _NUMPY:
        raise RequestError(
            f"expected numbers of a datatype in {', '.join(_NUMPY)} or BYTES in tensor {tensor.name!r}, "
            f"found {tensor.datatype} with {bad!r}",
            f"{path}.data",
        )
    return np.array(data, dtype=np.float64)


def _from_binary(tensor: _Tensor, raw: bytes, path: str) -> NDArray[Any]:
    n = _rows_of(tensor, path)
    if tensor.datatype == "BYTES":
        values = _strings(raw, path)
        array: NDArray[Any] = np.array([*values, None], dtype=object)[:-1]
    elif tensor.datatype in _NUMPY and len(raw) == n * _NUMPY[tensor.datatype].itemsize:
        array = np.frombuffer(raw, dtype=_NUMPY[tensor.datatype])
    else:
        raise RequestError(
            f"tensor {tensor.name!r} of {tensor.datatype} {tensor.shape} has {len(raw)} bytes", path, 400
        )
    if len(array) != n:
        raise RequestError(f"tensor {tensor.name!r} has shape {tensor.shape} but {len(array)} values", path)
    return array


def _strings(raw: bytes, path: str) -> list[str]:
    """Elements of a BYTES tensor: each a little-endian uint32 length and as many bytes of UTF-8."""
    values, offset = [], 0
    try:
        while offset < len(raw):
            (length,) = struct.unpack_from("<I", raw, offset)
            offset += 4
            if offset + length > len(raw):
                raise RequestError("a BYTES element is longer than the data", path, 400)
            values.append(raw[offset : offset + length].decode())
            offset += length
    except (struct.error, UnicodeDecodeError) as error:
        raise RequestError(f"BYTES data is damaged: {error}", path, 400) from None
    return values


def _encode(column: InputColumn, values: NDArray[Any]) -> NDArray[np.float64]:
    path = f"$.inputs[{column.name}]"
    is_text = values.dtype == object
    if is_text != (column.type == "category"):
        raise RequestError(
            f"tensor {column.name!r} must be of {' or '.join(_ACCEPTED[column.type])}, "
            f"found {'BYTES' if is_text else 'numbers'}",
            path,
        )
    if is_text:
        codes = {category: float(i) for i, category in enumerate(column.categories)}
        unseen = float(len(codes))
        encoded = np.array([np.nan if v is None else codes.get(v, unseen) for v in values])
    else:
        encoded = values.astype(np.float64)
    _check_values(column, encoded, path)
    return encoded


def _check_values(column: InputColumn, encoded: NDArray[np.float64], path: str) -> None:
    null = np.isnan(encoded)
    if null.any() and not column.nullable:
        raise RequestError(f"null or NaN in tensor {column.name!r}, which must have a value in every row", path)
    present = encoded[~null]
    if not np.isfinite(present).all():
        raise RequestError(f"infinite value in tensor {column.name!r}", path)
    if column.type == "int" and (present != np.floor(present)).any():
        raise RequestError(f"tensor {column.name!r} must have whole numbers", path)
    if column.type == "bool" and not np.isin(present, (0.0, 1.0)).all():
        raise RequestError(f"tensor {column.name!r} must have true or false", path)


def _first(values: NDArray[Any]) -> str | None:
    if not len(values) or values[0] is None:
        return None
    value = values[0]
    return value if isinstance(value, str) else str(int(value))
