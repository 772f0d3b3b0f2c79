"""The OpenAPI document of a model and a page to read it, both made from the signature."""

import html
import json
from typing import Any

from mlops_ray.model import InputColumn, Signature
from mlops_ray.serve.http import Response

__all__ = ["docs_page", "example_record", "openapi_document"]

_JSON_TYPES = {"float": "number", "int": "integer", "bool": "boolean", "category": "string"}
_EXAMPLES: dict[str, Any] = {"float": 1.5, "int": 1, "bool": True, "category": "text"}


def example_record(signature: Signature) -> dict[str, Any]:
    """A record that the model accepts."""
    return {c.name: c.categories[0] if c.categories else _EXAMPLES[c.type] for c in signature.inputs}


def openapi_document(name: str, signature: Signature, version: str) -> dict[str, Any]:
    """OpenAPI 3.1 of the model's routes."""
    errors = {
        code: {"description": text, "content": _json({"$ref": "#/components/schemas/Error"})}
        for code, text in (
            ("400", "not valid JSON"),
            ("413", "too many rows or bytes"),
            ("422", "a field is missing, extra or of a wrong type"),
            ("503", "no capacity or not ready; retry"),
        )
    }
    base = f"/v2/models/{name}"

    def post(summary: str, request: str, answer: str) -> dict[str, Any]:
        body = {"required": True, "content": _json({"$ref": f"#/components/schemas/{request}"})}
        good = {"200": {"description": "OK", "content": _json({"$ref": f"#/components/schemas/{answer}"})}}
        return {"post": {"summary": summary, "requestBody": body, "responses": good | errors}}

    def get(summary: str) -> dict[str, Any]:
        return {"get": {"summary": summary, "responses": {"200": {"description": "OK", "content": _json({})}}}}

    return {
        "openapi": "3.1.0",
        "info": {"title": f"Model {name}", "version": version},
        "paths": {
            base: get("Metadata: versions, inputs and outputs"),
            f"{base}/ready": get("Whether the model answers"),
            f"{base}/predict": post("Predict plain JSON records", "PredictRequest", "PredictAnswer"),
            f"{base}/infer": post("Predict, Open Inference Protocol v2", "InferRequest", "InferAnswer"),
            f"{base}/labels": post("Send outcomes of answered requests", "Labels", "Kept"),
        },
        "components": {"schemas": _schemas(signature)},
    }


def docs_page(name: str, signature: Signature, version: str) -> Response:
    """A page that shows the inputs and a request to try, without anything from another site."""
    rows = "".join(
        f"<tr><td><code>{html.escape(c.name)}</code></td><td>{c.type}</td><td>{'yes' if c.nullable else 'no'}</td>"
        f"<td>{html.escape(', '.join(c.categories))}</td></tr>"
        for c in signature.inputs
    )
    example = json.dumps({"records": [example_record(signature)]}, indent=2)
    command = f"curl -X POST $URL/v2/models/{name}/predict -H 'content-type: application/json' -d '{example}'"
    page = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(name)}</title>
<style>body{{font:16px system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}}
table{{border-collapse:collapse}}td,th{{border:1px solid #ccc;padding:.3rem .6rem;text-align:left}}
pre{{background:#f4f4f4;padding:1rem;overflow:auto}}</style>
<h1>Model <code>{html.escape(name)}</code>, version {html.escape(version)}</h1>
<p>Task: {signature.task}. Routes: <code>POST predict</code> (plain JSON records), <code>POST infer</code> (Open
Inference Protocol v2), <code>POST labels</code> (outcomes by request id), <code>GET ready</code>,
<a href="openapi.json">openapi.json</a>.</p>
<h2>Inputs</h2><table>
<tr><th>name</th><th>type</th><th>may be null</th><th>known categories</th></tr>{rows}</table>
<h2>Try it</h2><pre>{html.escape(command)}</pre></html>"""
    return Response(page.encode(), 200, b"text/html; charset=utf-8")


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _schemas(signature: Signature) -> dict[str, Any]:
    record = {
        "type": "object",
        "additionalProperties": False,
        "required": [c.name for c in signature.inputs if not c.nullable],
        "properties": {c.name: _field(c) for c in signature.inputs},
    }
    if signature.unit is not None:
        record["properties"][signature.unit] = {"type": ["string", "integer", "null"]}  # type: ignore[index]
    tensor = _object(["name", "shape", "datatype"], name="string", shape="array", datatype="string", data="array")
    identity = {"request_id": "string", "model_name": "string", "model_version": "string", "role": "string"}
    return {
        "Record": record,
        "PredictRequest": {
            "type": "object",
            "additionalProperties": False,
            "required": ["records"],
            "properties": {
                "records": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Record"}},
                "unit": {"type": ["string", "integer", "null"]},
                "request_id": {"type": ["string", "null"]},
            },
        },
        "PredictAnswer": _object([*identity, "epoch", "predictions"], **identity, epoch="integer", predictions="array"),
        "Tensor": tensor,
        "InferRequest": _list_of("inputs", "Tensor"),
        "InferAnswer": _list_of("outputs", "Tensor"),
        "Labels": _list_of("labels", "Label"),
        "Label": _object(["request_id", "label"], request_id="string", label="number", row="integer"),
        "Kept": _object(["kept"], kept="integer"),
        "Error": _object(["error"], error="string", path="string", request_id="string"),
    }


def _field(column: InputColumn) -> dict[str, Any]:
    kind = _JSON_TYPES[column.type]
    return {"type": [kind, "null"] if column.nullable else kind}


def _object(required: list[str], **fields: str) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": {k: {"type": v} for k, v in fields.items()}}


def _list_of(field: str, item: str) -> dict[str, Any]:
    items = {"type": "array", "minItems": 1, "items": {"$ref": f"#/components/schemas/{item}"}}
    return {"type": "object", "required": [field], "properties": {field: items}}
