"""The messages of the Open Inference Protocol over gRPC, described here field by field; no generated code.

Protocol: https://github.com/kserve/open-inference-protocol (gRPC), package `inference`, service GRPCInferenceService.
"""

from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

__all__ = ["METHODS", "SERVICE", "add_to_server", "message"]

Message = Any  # classes are made when this module is imported
SERVICE = "inference.GRPCInferenceService"
METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")

_KINDS = {
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
    "float": FieldDescriptorProto.TYPE_FLOAT,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}
_PARAMETERS = "map InferParameter parameters"
_TENSOR = ("string name", "string datatype", "repeated int64 shape")
# Each message's fields in the order of their numbers, 1, 2, 3, ...: "repeated" and "map" (by string) before the type.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("bool live",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("bool ready",),
    "ModelReadyRequest": ("string name", "string version"),
    "ModelReadyResponse": ("bool ready",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": ("string name", "string version", "repeated string extensions"),
    "ModelMetadataRequest": ("string name", "string version"),
    "ModelMetadataResponse.TensorMetadata": _TENSOR,
    "ModelMetadataResponse": (
        "string name",
        "repeated string versions",
        "string platform",
        "repeated ModelMetadataResponse.TensorMetadata inputs",
        "repeated ModelMetadataResponse.TensorMetadata outputs",
    ),
    "InferParameter": (
        "bool bool_param",
        "int64 int64_param",
        "string string_param",
        "double double_param",
        "uint64 uint64_param",
    ),
    "InferTensorContents": (
        "repeated bool bool_contents",
        "repeated int32 int_contents",
        "repeated int64 int64_contents",
        "repeated uint32 uint_contents",
        "repeated uint64 uint64_contents",
        "repeated float fp32_contents",
        "repeated double fp64_contents",
        "repeated bytes bytes_contents",
    ),
    "ModelInferRequest.InferInputTensor": (*_TENSOR, _PARAMETERS, "InferTensorContents contents"),
    "ModelInferRequest.InferRequestedOutputTensor": ("string name", _PARAMETERS),
    "ModelInferRequest": (
        "string model_name",
        "string model_version",
        "string id",
        _PARAMETERS,
        "repeated ModelInferRequest.InferInputTensor inputs",
        "repeated ModelInferRequest.InferRequestedOutputTensor outputs",
        "repeated bytes raw_input_contents",
    ),
    "ModelInferResponse.InferOutputTensor": (*_TENSOR, _PARAMETERS, "InferTensorContents contents"),
    "ModelInferResponse": (
        "string model_name",
        "string model_version",
        "string id",
        _PARAMETERS,
        "repeated ModelInferResponse.InferOutputTensor outputs",
        "repeated bytes raw_output_contents",
    ),
}
_ONE_OF = "InferParameter"
"""Of its fields one is set."""


def message(name: str) -> Message:
    """The class of a message."""
    return _CLASSES[name]


def add_to_server(servicer: Any, server: grpc.Server) -> None:
    """Register the service, as Ray Serve asks for it: it routes the methods to those of a replica by their names."""
    handlers = {
        method: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, method),
            request_deserializer=message(f"{method}Request").FromString,
            response_serializer=_serialized,
        )
        for method in METHODS
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


def _serialized(response: Message) -> bytes:
    content: bytes = response.SerializeToString()
    return content


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="mlops_ray/open_inference.proto", package="inference", syntax="proto3")
    described: dict[str, DescriptorProto] = {}
    for name in sorted(_FIELDS, key=lambda name: name.count(".")):
        outer, _, inner = name.rpartition(".")
        holder: Callable[..., DescriptorProto] = described[outer].nested_type.add if outer else file.message_type.add
        described[name] = holder(name=inner or name)
        if name == _ONE_OF:
            described[name].oneof_decl.add(name="parameter_choice")
    for name, fields in _FIELDS.items():
        for number, text in enumerate(fields, start=1):
            _add_field(described[name], number, text)
    return file


def _add_field(into: DescriptorProto, number: int, text: str) -> None:
    *how, kind, name = text.split()
    field = into.field.add(name=name, number=number)
    repeated = bool(how)
    field.label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    if kind in _KINDS:
        field.type = _KINDS[kind]
    else:
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".inference.{_map_entry(into, name, kind) if how == ['map'] else kind}"
    if into.name == _ONE_OF:
        field.oneof_index = 0


def _map_entry(into: DescriptorProto, name: str, kind: str) -> str:
    """A map is a list of entries with a key and a value, of a message inside the one that has it."""
    entry = into.nested_type.add(name=f"{name.capitalize()}Entry")
    entry.options.map_entry = True
    _add_field(entry, 1, "string key")
    _add_field(entry, 2, f"{kind} value")
    outer = next(full for full in _FIELDS if full.rpartition(".")[2] == into.name)
    return f"{outer}.{entry.name}"


def _classes() -> dict[str, Message]:
    # A pool of its own: a client in the same process may bring descriptions of the same messages.
    pool = DescriptorPool()
    pool.Add(_file())
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}")) for name in _FIELDS}


_CLASSES = _classes()
