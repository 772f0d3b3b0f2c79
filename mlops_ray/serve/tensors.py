"""Open Inference Protocol v2 tensors to a matrix and back, as JSON and with the binary tensor extension.

Protocol: https://github.com/kserve/open-inference-protocol (REST) and Triton's binary tensor data extension.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import RequestError
from mlops_ray.model import Signature
from mlops_ray.serve.http import Response, json_response
from mlops_ray.serve.picture_tensor import picture_tensor
from mlops_ray.serve.request import IDENTITY_LENGTH, Rows, decoded
from mlops_ray.serve.tensor_values import (
    Tensor,
    as_unit,
    encode_tensor,
    first_unit,
    output_bytes,
    output_datatype,
    tensor_values,
)
from mlops_ray.serve.unseen_counts import Unseen, counted

__all__ = [
    "HEADER_LENGTH",
    "InferRequest",
    "TensorDecoder",
    "encode_outputs",
    "infer_request",
    "tensor_metadata",
]

HEADER_LENGTH = b"inference-header-content-length"
_PREFERRED = {"float": "FP64", "int": "INT64", "bool": "BOOL", "category": "BYTES", "image": "BYTES"}


class _OutputParameters(msgspec.Struct):
    binary_data: bool | None = None


class _Output(msgspec.Struct):
    name: str
    parameters: _OutputParameters = msgspec.field(default_factory=_OutputParameters)


class _Parameters(msgspec.Struct):
    """Those that say something here; a client may send others."""

    binary_data_output: bool = False
    timeout: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    """Microseconds, as the protocol has it; 0 is as long as it takes."""
    unit: Any = None


class InferRequest(msgspec.Struct):
    """The JSON part of an infer request."""

    inputs: list[Tensor]
    id: Annotated[str, msgspec.Meta(max_length=IDENTITY_LENGTH)] | None = None
    parameters: _Parameters = msgspec.field(default_factory=_Parameters)
    outputs: list[_Output] = []

    @property
    def timeout_s(self) -> float | None:
        """After how long the client gives up."""
        return self.parameters.timeout / 1e6 if self.parameters.timeout else None


_request_decoder = msgspec.json.Decoder(InferRequest)


def infer_request(body: bytes, header_length: bytes) -> tuple[InferRequest, bytes]:
    """The JSON part of an infer request, and its binary data.

    Raises:
        RequestError: 400 for what is no infer request, 422 with the path of a field that is not as expected.
    """
    json_part, binary = _split(body, header_length)
    return decoded(_request_decoder, json_part), binary


class TensorDecoder:
    """Decodes infer requests, one tensor a feature of shape [n] or [n, 1], for one signature.

    Of a picture, see `picture_tensor`.
    """

    def __init__(self, signature: Signature, *, max_rows: int) -> None:
        self._inputs = {column.name: column for column in signature.inputs}
        self._order = signature.inputs
        self._image = signature.image
        self._unit = signature.unit
        self._max_rows = max_rows
        self._outputs = [output["name"] for output in tensor_metadata(signature)["outputs"]]

    def rows(self, request: InferRequest, binary: bytes) -> Rows:
        """The rows of an infer request.

        Raises:
            RequestError: 422 with the path of a tensor that is not as expected, 400 for damaged binary data, 413 for
                more rows than allowed.
        """
        for i, output in enumerate(request.outputs):
            if output.name not in self._outputs:
                known = ", ".join(self._outputs)
                raise RequestError(f"unknown output {output.name!r}; expected {known}", f"$.outputs[{i}].name")
        values = self._values(request.inputs, binary)
        unit = as_unit(request.parameters.unit, "$.parameters.unit")
        if self._unit is not None and self._unit in values:
            unit = unit or first_unit(values.pop(self._unit), f"$.inputs[{self._unit}]")
        tensors = {tensor.name: tensor for tensor in request.inputs}
        matrix = self._matrix(tensors, values)
        return Rows(matrix, request.id, unit, unseen=self._unseen(matrix, values))

    def _unseen(self, matrix: NDArray[np.float64], values: Mapping[str, NDArray[Any]]) -> Unseen:
        found: list[tuple[str, str]] = []
        for i, column in enumerate(self._order):
            if column.type == "category" and column.name in values:
                other = matrix[:, i] == len(column.categories)
                found += [(column.name, value) for value in values[column.name][other]]
        return counted(found) if found else ()

    def _values(self, tensors: Sequence[Tensor], binary: bytes) -> dict[str, NDArray[Any]]:
        values: dict[str, NDArray[Any]] = {}
        offset = 0
        for i, tensor in enumerate(tensors):
            path = f"$.inputs[{i}]"
            self._check_name(tensor.name, values, path)
            size = tensor.parameters.get("binary_data_size")
            if size is None:
                values[tensor.name] = self._read(tensor, None, path)
                continue
            if isinstance(size, bool) or not isinstance(size, int) or size < 0 or offset + size > len(binary):
                left = len(binary) - offset
                raise RequestError(
                    f"binary_data_size of tensor {tensor.name!r} is {size!r}, but {left} bytes of binary data are left",
                    path,
                    400,
                )
            values[tensor.name] = self._read(tensor, binary[offset : offset + size], path)
            offset += size
        if offset != len(binary):
            raise RequestError(f"{len(binary) - offset} bytes of binary data belong to no tensor", "$.inputs", 400)
        return values

    def _read(self, tensor: Tensor, raw: bytes | None, path: str) -> NDArray[Any]:
        if self._image is not None and tensor.name == self._image.name:
            return picture_tensor(self._image, tensor, raw, path, max_rows=self._max_rows)
        return tensor_values(tensor, raw, path)

    def _check_name(self, name: str, seen: Mapping[str, Any], path: str) -> None:
        if name in seen:
            raise RequestError(f"tensor {name!r} is there twice", path)
        if name not in self._inputs and name != self._unit:
            raise RequestError(f"unknown tensor {name!r}; expected {', '.join(self._inputs)}", path)

    def _matrix(self, tensors: Mapping[str, Tensor], values: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
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
        if self._image is not None:
            return values[self._image.name]
        matrix = np.full((n, len(self._order)), np.nan)
        for i, column in enumerate(self._order):
            if column.name in values:
                matrix[:, i] = encode_tensor(column, tensors[column.name], values[column.name])
        return matrix


def tensor_metadata(signature: Signature) -> dict[str, list[dict[str, Any]]]:
    """`inputs` and `outputs` of the model metadata answer."""
    outputs: list[dict[str, Any]] = [{"name": "score", "datatype": "FP64", "shape": [-1]}]
    if signature.task == "binary":
        outputs.append({"name": "label", "datatype": "INT64", "shape": [-1]})
    if signature.classes:
        outputs.insert(0, {"name": "label", "datatype": "BYTES", "shape": [-1]})
        outputs.append({"name": "scores", "datatype": "FP64", "shape": [-1, len(signature.classes)]})
    inputs = [{"name": c.name, "datatype": _PREFERRED[c.type], "shape": [-1]} for c in signature.inputs]
    return {"inputs": inputs, "outputs": outputs}


def encode_outputs(request: InferRequest, answer: Mapping[str, Any], outputs: Mapping[str, NDArray[Any]]) -> Response:
    """The infer answer: the tensors that `request` asks for, as JSON, or as binary where it asks so."""
    wanted = {o.name: o.parameters.binary_data for o in request.outputs} or dict.fromkeys(outputs)
    tensors: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for name, as_binary in wanted.items():
        values = outputs[name]
        tensor: dict[str, Any] = {"name": name, "datatype": output_datatype(values), "shape": list(values.shape)}
        if request.parameters.binary_data_output if as_binary is None else as_binary:
            binary.append(output_bytes(values))
            tensor["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            tensor["data"] = values.reshape(-1).tolist()
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
    # No length of a body has twenty digits, and Python refuses to read thousands of them.
    if not header_length.isdigit() or len(header_length) > 20 or int(header_length) > len(body):
        raise RequestError(
            f"header Inference-Header-Content-Length is {header_length.decode('latin-1')!r}, "
            f"but the body has {len(body)} bytes",
            status=400,
        )
    n = int(header_length)
    return body[:n], body[n:]
