"""An infer request and its answer as messages of the Open Inference Protocol over gRPC."""

import struct
from typing import Any

from numpy.typing import NDArray

from mlops_ray.errors import RequestError
from mlops_ray.serve.answer import Answer, InferBody
from mlops_ray.serve.grpc_messages import message
from mlops_ray.serve.request import converted
from mlops_ray.serve.tensor_values import output_bytes, output_datatype
from mlops_ray.serve.tensors import InferRequest

__all__ = ["infer_body", "infer_response"]

Message = Any
# Where the values of a tensor are when they are not raw; FP16 is always raw.
_CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def infer_body(request: Message) -> InferBody:
    """A `ModelInferRequest` as it would have come over HTTP.

    Raises:
        RequestError: 422 for a field that is not as expected, 400 for raw contents that belong to no tensor.
    """
    raw: list[bytes | None] = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise RequestError(
            f"expected raw_input_contents for all {len(request.inputs)} inputs or for none, found {len(raw)}",
            "$.raw_input_contents",
            400,
        )
    said = [name for name in ("timeout", "unit") if name in request.parameters]
    if not raw:
        raw = [_elements(tensor) for tensor in request.inputs]
    content: dict[str, Any] = {
        "inputs": [_tensor(tensor, values) for tensor, values in zip(request.inputs, raw, strict=True)],
        "id": request.id or None,
        "parameters": {name: _value(request.parameters[name]) for name in said},
        "outputs": [{"name": output.name} for output in request.outputs],
    }
    return InferBody(converted(content, InferRequest), b"".join(values for values in raw if values is not None))


def infer_response(request: Message, answer: Answer) -> Message:
    """The answer, its tensors raw where those of the request were."""
    response = message("ModelInferResponse")(
        model_name=answer.model, model_version=str(answer.version), id=answer.request_id
    )
    response.parameters["role"].string_param = answer.role
    response.parameters["epoch"].int64_param = answer.epoch
    outputs = answer.outputs()
    for name in [output.name for output in request.outputs] or outputs:
        _add_output(response, name, outputs[name], raw=bool(request.raw_input_contents))
    return response


def _elements(tensor: Message) -> bytes | None:
    """Texts and files as if they had come raw, since files are no text; None for numbers."""
    if tensor.datatype != "BYTES":
        return None
    return b"".join(struct.pack("<I", len(value)) + value for value in tensor.contents.bytes_contents)


def _tensor(tensor: Message, raw: bytes | None) -> dict[str, Any]:
    head = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
    if raw is not None:
        return {**head, "parameters": {"binary_data_size": len(raw)}}
    where = _CONTENTS.get(tensor.datatype)
    return {**head, "data": list(getattr(tensor.contents, where)) if where else []}


def _value(parameter: Message) -> Any:
    which = parameter.WhichOneof("parameter_choice")
    return getattr(parameter, which) if which else None


def _add_output(response: Message, name: str, values: NDArray[Any], *, raw: bool) -> None:
    datatype = output_datatype(values)
    tensor = response.outputs.add(name=name, datatype=datatype, shape=list(values.shape))
    if raw:
        response.raw_output_contents.append(output_bytes(values))
        return
    flat = values.reshape(-1).tolist()
    getattr(tensor.contents, _CONTENTS[datatype]).extend(
        [text.encode() for text in flat] if datatype == "BYTES" else flat
    )
