"""A page about a model, made from its signature, without anything from another site."""

import html
import json

from mlops_ray.model import InputColumn
from mlops_ray.serve.http import Response
from mlops_ray.serve.openapi import Described
from mlops_ray.serve.openapi_explain import explains
from mlops_ray.serve.openapi_schemas import example_record

__all__ = ["docs_page"]

_STYLE = """body{font:16px system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3rem .6rem;text-align:left}
pre{background:#f4f4f4;padding:1rem;overflow:auto}"""
_ROUTES = (
    ("POST predict", "plain JSON records"),
    ("POST infer", "Open Inference Protocol v2, tensors as JSON or binary"),
    ("POST arrow", "Apache Arrow IPC stream in and out: a column a feature, for many rows at once"),
    ("POST explain", "rows as predict or infer take them: what each feature did to the answer"),
    ("POST labels", "outcomes, by request id"),
    ("POST versions/<version>/predict, infer, arrow, explain", "the same of one version"),
    ("GET ready, openapi.json, docs", "state and description"),
)


def docs_page(described: Described) -> Response:
    """The inputs, the routes, and requests to try."""
    name, version = html.escape(described.name), html.escape(described.version)
    page = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>
<style>{_STYLE}</style>
<h1>Model <code>{name}</code>, version {version}</h1>
<p>Task: {described.signature.task}. All of it for programs: <a href="openapi.json">openapi.json</a>.</p>
<h2>Inputs</h2>{_inputs(described)}
<h2>Routes</h2>{_routes()}
<h2>Try it</h2><pre>{html.escape(_command(described))}</pre>
<h2>Limits</h2>{_limits(described)}</html>"""
    return Response(page.encode(), 200, b"text/html; charset=utf-8")


def _inputs(described: Described) -> str:
    rows = "".join(
        f"<tr><td><code>{html.escape(c.name)}</code></td><td>{c.type}</td><td>{'yes' if c.nullable else 'no'}</td>"
        f"<td>{html.escape(_known(c))}</td></tr>"
        for c in described.signature.inputs
    )
    unit = described.signature.unit
    said = f"<p><code>{html.escape(unit)}</code> may be sent with them: whom a row is for.</p>" if unit else ""
    classes = described.signature.classes
    named = f"<p>Answers name one of the classes {html.escape(', '.join(classes))}.</p>" if classes else ""
    head = "<tr><th>name</th><th>type</th><th>may be null</th><th>known categories</th></tr>"
    return f"<table>{head}{rows}</table>{said}{named}"


def _known(column: InputColumn) -> str:
    if column.shape is None:
        return ", ".join(column.categories)
    height, width, channels = column.shape
    return f"JPEG, PNG or WebP as base64; seen as {height} x {width} pixels of {channels} channels"


def _routes() -> str:
    rows = "".join(f"<tr><td><code>{html.escape(route)}</code></td><td>{text}</td></tr>" for route, text in _ROUTES)
    return f"<table>{rows}</table>"


def _command(described: Described) -> str:
    key = " \\\n  -H 'authorization: Bearer '$MLOPS_RAY_API_KEY" if described.keys else ""
    body = json.dumps({"records": [example_record(described.signature)]}, indent=2).replace("'", "'\\''")
    return f"curl -X POST $URL{described.base}/predict{key} \\\n  -H 'content-type: application/json' -d '{body}'"


def _limits(described: Described) -> str:
    serve = described.serve
    return (
        f"<p>An answer takes at most {serve.deadline_ms:g} ms; the header <code>x-request-timeout-ms</code> asks for "
        f"less. JSON takes {serve.max_rows} rows, a body {serve.max_body_bytes} bytes. A 503 or 429 says in "
        f"<code>Retry-After</code> when to ask again.</p>{_explain_limits(described)}"
    )


def _explain_limits(described: Described) -> str:
    if not explains(described.signature, described.serve):
        return "<p>This model is not explained.</p>"
    limits = described.serve.explain
    return (
        f"<p>Explanations are made one at a time, beside the predictions: {limits.max_rows} rows and "
        f"{limits.deadline_ms:g} ms for a request, and {limits.max_waiting} of them wait.</p>"
    )
