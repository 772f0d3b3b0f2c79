"""JSON schemas of what a model takes and answers, as exact as its signature lets them be."""

import base64
from typing import Any

import numpy as np

from mlops_ray.model import InputColumn, Signature
from mlops_ray.pixels import encode_png
from mlops_ray.serve.request import IDENTITY_LENGTH, LARGEST_INTEGER, LONGEST_TEXT
from mlops_ray.serve.tensor_values import DATATYPES, NUMPY
from mlops_ray.serve.tensors import tensor_metadata
from mlops_ray.spec import Serve

__all__ = ["NUMBER", "ROLES_OF_ANSWERS", "example_record", "schemas"]

Schema = dict[str, Any]
ROLES_OF_ANSWERS = ["champion", "canary", "direct"]
"""Who may have answered: the champion, the version under delivery for its share, or a version asked for by name."""
_SIDE = 8  # of the picture in an example
_LARGEST = 1.7976931348623157e308
NUMBER: Schema = {"type": "number", "minimum": -_LARGEST, "maximum": _LARGEST}
"""What fits a double."""
_IDENTITY: Schema = {"type": "string", "maxLength": IDENTITY_LENGTH}
_UNIT: Schema = {
    "description": "whom the rows are for; the same unit meets the same version during a rollout",
    "anyOf": [_IDENTITY, {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}, {"type": "null"}],
}
_FIELDS: dict[str, Schema] = {
    "float": NUMBER,
    "int": {"type": "integer", "minimum": -LARGEST_INTEGER, "maximum": LARGEST_INTEGER},
    "bool": {"type": "boolean"},
    "category": {"type": "string", "maxLength": LONGEST_TEXT},
    "image": {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"},
}
_EXAMPLES: dict[str, Any] = {"float": 1.5, "int": 1, "bool": True, "category": "text"}


def example_record(signature: Signature) -> dict[str, Any]:
    """A record that the model accepts."""
    return {column.name: _example(column) for column in signature.inputs}


def schemas(signature: Signature, serve: Serve) -> dict[str, Schema]:
    """The components of the document, by name."""
    return {
        **_plain(signature, serve),
        **_tensors(signature, serve),
        "Labels": _object({"labels": {"type": "array", "minItems": 1, "items": _ref("Label")}}),
        "Label": _object(
            {
                "request_id": {"type": "string", "minLength": 1, "maxLength": IDENTITY_LENGTH},
                "label": _label(signature),
                "row": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1, "default": 0},
            },
            optional=("row",),
        ),
        "Kept": _object({"kept": {"type": "integer", "minimum": 1}}),
        "Metadata": _metadata(signature),
        "Ready": _object({"name": _TEXT, "ready": {"const": True}, "version": _VERSION}),
        "Error": _object({"error": _TEXT, "path": _TEXT, "request_id": _TEXT}, optional=("path", "request_id")),
    }


def _label(signature: Signature) -> Schema:
    if signature.classes:
        return {"enum": list(signature.classes)}
    return {"enum": [0, 1]} if signature.task == "binary" else NUMBER


_TEXT: Schema = {"type": "string"}
_PROBABILITY: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_VERSION: Schema = {"type": "string", "pattern": "^[1-9][0-9]*$"}
_ROLE: Schema = {"enum": ROLES_OF_ANSWERS}
_EPOCH: Schema = {"type": "integer", "minimum": 0, "description": "of the route that decided who answers"}


def _plain(signature: Signature, serve: Serve) -> dict[str, Schema]:
    record = _object(
        {column.name: _field(column) for column in signature.inputs},
        optional=[column.name for column in signature.inputs if column.nullable],
    )
    if signature.unit is not None:
        record["properties"][signature.unit] = _UNIT
    records = {"type": "array", "minItems": 1, "maxItems": serve.max_rows, "items": _ref("Record")}
    request = _object(
        {"records": records, "unit": _UNIT, "request_id": {"anyOf": [_IDENTITY, {"type": "null"}]}},
        optional=("unit", "request_id"),
    )
    return {
        "Record": record | {"examples": [example_record(signature)]},
        "PredictRequest": request | {"examples": [{"records": [example_record(signature)]}]},
        "PredictAnswer": _object(
            {
                "request_id": _TEXT,
                "model_name": _TEXT,
                "model_version": _VERSION,
                "role": _ROLE,
                "epoch": _EPOCH,
                "predictions": {"type": "array", "minItems": 1, "items": _ref("Prediction")},
            }
        ),
        "Prediction": _prediction(signature),
    }


def _prediction(signature: Signature) -> Schema:
    if signature.classes:
        scores = _object(dict.fromkeys(signature.classes, _PROBABILITY))
        return _object({"label": {"enum": list(signature.classes)}, "score": _PROBABILITY, "scores": scores})
    labels: dict[str, Schema] = {"label": {"enum": [0, 1]}} if signature.task == "binary" else {}
    return _object({"score": {"type": "number"}, **labels})


def _tensors(signature: Signature, serve: Serve) -> dict[str, Schema]:
    """Shapes must agree with each other and with the data, which no schema says; clients may add parameters."""
    outputs = [output["name"] for output in _outputs(signature)]
    inputs: Schema = {"type": "array", "minItems": 1, "items": {"oneOf": [_tensor(c, serve) for c in signature.inputs]}}
    if signature.unit is not None:
        inputs["items"]["oneOf"].append(
            _tensor(InputColumn(signature.unit, "category", nullable=True), serve, unit=True)
        )
    needed = [{"contains": _named(c.name)} for c in signature.inputs if not c.nullable]
    if needed:
        inputs["allOf"] = needed
    wanted = _open({"name": {"enum": outputs}, "parameters": _open({"binary_data": {"type": ["boolean", "null"]}}, ())})
    wanted["required"] = ["name"]
    parameters: dict[str, Schema] = {
        "binary_data_output": {"type": "boolean"},
        "timeout": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1, "description": "microseconds; 0: none"},
        "unit": _UNIT,
    }
    request: dict[str, Schema] = {
        "id": {"anyOf": [_IDENTITY, {"type": "null"}]},
        "inputs": inputs,
        "outputs": {"type": "array", "items": wanted},
        "parameters": _open(parameters, ()),
    }
    return {
        "InferRequest": _open(request, ("inputs",)) | {"examples": [_infer_example(signature)]},
        "InferAnswer": _object(
            {
                "model_name": _TEXT,
                "model_version": _VERSION,
                "id": _TEXT,
                "parameters": _object({"role": _ROLE, "epoch": _EPOCH}),
                "outputs": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"oneOf": [_output(output) for output in _outputs(signature)]},
                },
            }
        ),
    }


def _tensor(column: InputColumn, serve: Serve, *, unit: bool = False) -> Schema:
    datatypes = ["BYTES", *(name for name in NUMPY if "INT" in name)] if unit else list(DATATYPES[column.type])
    rows = {"type": "integer", "minimum": 1, "maximum": serve.max_rows}
    value = _UNIT if unit else _field(column)
    shape: Schema = {
        "type": "array",
        "minItems": 1,
        "maxItems": 2,
        "prefixItems": [rows, {"const": 1}],
        "items": False,
    }
    values = _nested(value)
    if column.shape is not None:  # the pixels themselves: their lists may be nested in any way
        sizes = [{"const": size} for size in column.shape]
        pixels = {"type": "array", "minItems": 4, "maxItems": 4, "prefixItems": [rows, *sizes], "items": False}
        shape, values = {"anyOf": [shape, pixels]}, {}
    properties: dict[str, Schema] = {
        "name": {"const": column.name},
        "shape": shape,
        "datatype": {"enum": datatypes},
        "data": {"type": "array", "description": "absent where the values are binary", "items": values},
        "parameters": _open({"binary_data_size": {"type": "integer", "minimum": 0}}, ()),
    }
    return _open(properties, ("name", "shape", "datatype"))


def _nested(value: Schema) -> Schema:
    """One value a row, or a list of one."""
    return {"anyOf": [value, {"type": "array", "minItems": 1, "maxItems": 1, "items": value}]}


def _output(output: dict[str, Any]) -> Schema:
    dimensions = len(output["shape"])
    kinds = {"INT64": "integer", "BYTES": "string"}
    properties: dict[str, Schema] = {
        "name": {"const": output["name"]},
        "datatype": {"const": output["datatype"]},
        "shape": {
            "type": "array",
            "minItems": dimensions,
            "maxItems": dimensions,
            "items": {"type": "integer", "minimum": 1},
        },
        "data": {"type": "array", "minItems": 1, "items": {"type": kinds.get(output["datatype"], "number")}},
        "parameters": _object(
            {"binary_data_size": {"type": "integer", "minimum": 5 if output["datatype"] == "BYTES" else 8}}
        ),
    }
    return _object(properties, optional=("data", "parameters"))


def _outputs(signature: Signature) -> list[dict[str, Any]]:
    return tensor_metadata(signature)["outputs"]


def _metadata(signature: Signature) -> Schema:
    shapes = [output["shape"] for output in _outputs(signature)]
    shape = {"enum": [list(known) for known in dict.fromkeys(map(tuple, shapes))]}
    tensor = _object({"name": _TEXT, "datatype": {"enum": [*NUMPY, "BYTES"]}, "shape": shape})
    tensors = {"type": "array", "minItems": 1, "items": tensor}
    versions = {"type": "array", "minItems": 1, "items": _VERSION}
    platform = {"const": f"mlops_ray_{signature.task}"}
    return _object({"name": _TEXT, "versions": versions, "platform": platform, "inputs": tensors, "outputs": tensors})


def _infer_example(signature: Signature) -> dict[str, Any]:
    kinds = {tensor["name"]: tensor["datatype"] for tensor in tensor_metadata(signature)["inputs"]}
    inputs = [
        {"name": c.name, "shape": [1], "datatype": kinds[c.name], "data": [_example(c)]} for c in signature.inputs
    ]
    return {"inputs": inputs}


def _example(column: InputColumn) -> Any:
    if column.shape is not None:  # a grey square: a picture of any size is taken
        height, width, channels = column.shape
        grey = np.full((min(height, _SIDE), min(width, _SIDE), channels), 128, np.uint8)
        return base64.b64encode(encode_png(grey)).decode()
    return column.categories[0] if column.categories else _EXAMPLES[column.type]


def _field(column: InputColumn) -> Schema:
    schema = _FIELDS[column.type]
    if column.categories:
        schema = schema | {"description": f"seen in training: {', '.join(column.categories[:50])}"}
    return {"anyOf": [schema, {"type": "null"}]} if column.nullable else schema


def _named(name: str) -> Schema:
    return {"type": "object", "required": ["name"], "properties": {"name": {"const": name}}}


def _object(properties: dict[str, Schema], *, optional: Any = ()) -> Schema:
    """An object with these fields and no others."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _open(properties: dict[str, Schema], required: Any = ("name",)) -> Schema:
    """An object that may have other fields too, as the protocol lets clients do."""
    return {"type": "object", "required": list(required), "properties": properties}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
