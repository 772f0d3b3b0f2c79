"""`POST explain`: rows as `predict` or `infer` take them, answered with what each feature did to the answer."""

import re
from typing import Any
from urllib.parse import parse_qs

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import RequestError
from mlops_ray.model import Signature, why_not
from mlops_ray.model.explain_process import Explained
from mlops_ray.serve.answer import InferBody, PlainBody, plain_predictions
from mlops_ray.serve.asked import Asked
from mlops_ray.serve.explaining import Explaining
from mlops_ray.serve.http import Response, json_response
from mlops_ray.serve.loaded import LoadedModel
from mlops_ray.serve.request import Rows
from mlops_ray.serve.tensors import HEADER_LENGTH

__all__ = ["explain_response"]

_CLASS = "class"
_BEGINS_WITH_RECORDS = re.compile(rb'\s*\{\s*"records"')


class _Keys(msgspec.Struct):
    """As much of a body as says which format it has."""

    inputs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


async def explain_response(
    asked: Asked, model: LoadedModel | None, explaining: Explaining, name: str, *, limit_bytes: int, identity: str
) -> Response:
    """What the version answers to the rows, and why. Not recorded: nobody was answered for anything.

    Raises:
        RequestError: 404 where explanations are off, 501 where the model has none, 413 for too many rows, 422 for an
            unknown class, and as `predict` and `infer` raise.
        PredictionError: the model cannot predict the rows, or it took too long.
    """
    limits = explaining.limits
    if not limits.enabled:
        raise RequestError(f"explanations of model {name!r} are off (serve.explain.enabled)", status=404)
    reason = "no version is in memory to be explained" if model is None else why_not(model.signature)
    if model is None or reason is not None:
        raise RequestError(str(reason), status=501)
    until_s = asked.deadline_s(limits.deadline_ms)
    content = await asked.content(limit_bytes=limit_bytes, deadline_s=until_s)
    rows = _body(content, asked.headers.get(HEADER_LENGTH, b"")).rows(model.decoders)
    if len(rows.matrix) > limits.max_rows:
        found = f"expected at most {limits.max_rows} rows (serve.explain.max_rows), found {len(rows.matrix)}"
        raise RequestError(found, "$.records", 413)
    places = _places(model.signature, asked.query, len(rows.matrix))
    explained = await explaining.explain(model, rows.matrix, places, until_s=until_s)
    said = {"request_id": rows.request_id or identity, "model_name": name, "model_version": str(model.version)}
    return json_response({**said, **_content(model.signature, explained, rows)})


def _body(content: bytes, header_length: bytes) -> InferBody | PlainBody:
    if header_length or (not _BEGINS_WITH_RECORDS.match(content) and _has_inputs(content)):
        return InferBody.of(content, header_length)
    return PlainBody(content)


def _has_inputs(content: bytes) -> bool:
    try:
        return msgspec.json.decode(content, type=_Keys).inputs is not msgspec.UNSET
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False  # whoever reads it as records says what is wrong


def _places(signature: Signature, query: bytes, rows: int) -> NDArray[np.int64] | None:
    """The class that the query names, for each row; None where it names none."""
    named = parse_qs(query.decode("latin-1"), keep_blank_values=True).get(_CLASS)
    if named is None or not signature.classes:
        return None
    if len(named) > 1 or named[0] not in signature.classes:
        known = ", ".join(signature.classes)
        raise RequestError(f"expected one of the classes {known}, found {', '.join(named)!r}", _CLASS)
    return np.full(rows, signature.classes.index(named[0]), dtype=np.int64)


def _content(signature: Signature, explained: Explained, rows: Rows) -> dict[str, Any]:
    explanation = explained.explanation
    predictions = plain_predictions(signature.task, signature.classes, explained.predictions)
    each = [{"prediction": p, **explanation.of_row(signature, i)} for i, p in enumerate(predictions)]
    return {**explanation.how(), "explanations": each} | ({"warnings": rows.warnings} if rows.warnings else {})
