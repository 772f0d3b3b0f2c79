"""The route `explain` in the OpenAPI document."""

import copy
from typing import Any

from mlops_ray.model import Signature
from mlops_ray.serve.openapi_schemas import NUMBER, schemas
from mlops_ray.spec import Serve

__all__ = ["explain_operation", "explain_schemas", "explains"]

Node = dict[str, Any]
_METHODS = ["tree_shap", "linear", "integrated_gradients", "permutation_sampling"]
_SCALES = ["log_odds", "raw_score", "probability", "value"]


def explains(signature: Signature, serve: Serve) -> bool:
    """Whether a model has the route."""
    return serve.explain.enabled and signature.image is None


def explain_operation(signature: Signature, which: str) -> tuple[str, Node, Node, tuple[Node, ...]]:
    """Summary, request, answer and parameters of the route."""
    summary = (
        f"Explain answers{which}: what each feature did to them; takes Open Inference Protocol v2 as well. "
        "base + contributions = score, but for residual"
    )
    named: Node = {
        "name": "class",
        "in": "query",
        "description": "the class to explain, instead of the likeliest of each row",
        "schema": {"enum": list(signature.classes)},
    }
    return summary, _json("ExplainRequest"), _json("ExplainAnswer"), (named,) if signature.classes else ()


def explain_schemas(signature: Signature, serve: Serve) -> dict[str, Node]:
    """The components of the route, by name."""
    if not explains(signature, serve):
        return {}
    text: Node = {"type": "string"}
    request = copy.deepcopy(schemas(signature, serve)["PredictRequest"])
    request["properties"]["records"]["maxItems"] = min(serve.max_rows, serve.explain.max_rows)
    said: Node = {"request_id": text, "model_name": text, "model_version": {"type": "string", "pattern": "^[1-9]"}}
    how: Node = {"method": {"enum": _METHODS}, "exact": {"type": "boolean"}, "scale": {"enum": _SCALES}}
    explanations: Node = {"type": "array", "minItems": 1, "items": _ref("Explanation")}
    warnings: Node = {"type": "array", "items": text}
    answer = _object({**said, **how, "explanations": explanations, "warnings": warnings}, optional=("warnings",))
    return {"ExplainRequest": request, "ExplainAnswer": answer, "Explanation": _explanation(signature)}


def _explanation(signature: Signature) -> Node:
    each = _object(dict.fromkeys(signature.names, NUMBER))
    content: Node = {
        "prediction": _ref("Prediction"),
        "base": NUMBER,
        "contributions": each,
        "score": NUMBER,
        "residual": NUMBER,
        "standard_errors": each,
    }
    if signature.classes:
        content["class"] = {"enum": list(signature.classes)}
    return _object(content, optional=("standard_errors",))


def _object(properties: Node, *, optional: tuple[str, ...] = ()) -> Node:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _json(name: str) -> Node:
    return {"application/json": {"schema": _ref(name)}}


def _ref(name: str) -> Node:
    return {"$ref": f"#/components/schemas/{name}"}
