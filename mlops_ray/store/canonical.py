"""One text for one JSON value, so that a value can be hashed, stored, read back and hashed again."""

import json
from collections.abc import Mapping
from typing import Any

from mlops_ray.errors import StoreError

__all__ = ["canonical", "decoded"]


def canonical(value: Any) -> str:
    """The value as JSON: keys sorted, no spaces, ASCII only; tuples become lists and keys strings.

    Raises:
        StoreError: the value holds something that is no JSON, or a number that is not finite.
    """
    try:
        plain = json.loads(json.dumps(value, allow_nan=False, default=_mapping_as_dict))
    except (TypeError, ValueError) as error:
        raise StoreError(f"expected a JSON value with finite numbers, found {_shortened(value)}: {error}") from None
    # Sorted only now: keys that were numbers are strings here, and sort as they will when they are read back.
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def decoded(text: str) -> Any:
    """The value that `canonical` made `text` of.

    Raises:
        StoreError: the text is no JSON, so it was not written by the store.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise StoreError(f"expected JSON in the store, found {_shortened(text)} ({error})") from None


def _mapping_as_dict(value: Any) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is not a JSON value")


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
