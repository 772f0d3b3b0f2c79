"""Outcomes of answered requests, as clients send them: the number itself, or the name of a class."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from mlops_ray.errors import RequestError
from mlops_ray.model import Signature
from mlops_ray.serve.request import IDENTITY_LENGTH, decoded

__all__ = ["Label", "read_labels"]

_TOLD = 50  # classes
_RequestId = Annotated[str, msgspec.Meta(min_length=1, max_length=IDENTITY_LENGTH)]
_Row = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The outcome of one row of an answered request; of a multiclass model the place of its class."""

    request_id: _RequestId
    label: float
    row: _Row = 0


class _Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    request_id: _RequestId
    label: str | float
    row: _Row = 0


class _Labels(msgspec.Struct, forbid_unknown_fields=True):
    labels: list[Label]


class _NamedLabels(msgspec.Struct, forbid_unknown_fields=True):
    labels: list[_Named]


_numbers = msgspec.json.Decoder(_Labels)
_names = msgspec.json.Decoder(_NamedLabels)


def read_labels(body: bytes, signature: Signature) -> list[Label]:
    """The outcomes in `{"labels": [{"request_id": ..., "label": ..., "row": 0}]}`, for a model with this signature.

    Raises:
        RequestError: 400 for what is no JSON; 422 with the path of a field that is not as expected.
    """
    labels = _of_classes(body, signature) if signature.classes else decoded(_numbers, body).labels
    if not labels:
        raise RequestError("expected at least one label, found an empty list", "$.labels")
    if signature.task == "binary":
        wrong = next((i for i, label in enumerate(labels) if label.label not in (0, 1)), None)
        if wrong is not None:
            path = f"$.labels[{wrong}].label"
            raise RequestError(f"expected 0 or 1 for a binary model, found {labels[wrong].label:g}", path)
    return labels


def _of_classes(body: bytes, signature: Signature) -> list[Label]:
    places = {name: place for place, name in enumerate(signature.classes)}
    return [
        Label(label.request_id, _place(label.label, places, f"$.labels[{i}].label"), label.row)
        for i, label in enumerate(decoded(_names, body).labels)
    ]


def _place(label: str | float, places: Mapping[str, int], path: str) -> float:
    name = label if isinstance(label, str) else f"{label:.17g}"  # of a class that is called by a number
    if name in places:
        return float(places[name])
    known = list(places)
    more = f" and {len(known) - _TOLD} more" if len(known) > _TOLD else ""
    raise RequestError(f"expected one of the classes {', '.join(known[:_TOLD])}{more}, found {name[:80]!r}", path)
