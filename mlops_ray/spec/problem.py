"""What pydantic found wrong, as sentences about what the user wrote, each mistake told once."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from mlops_ray.spec.location import Location, locate

__all__ = ["problems", "shown"]

_INPUT = "Input should be "
# pydantic speaks of Python's types; its own words are kept for everything else.
_WORDS = {
    "tuple_type": "expected a list",
    "mapping_type": "expected a mapping",
    "dict_type": "expected a mapping",
    "model_type": "expected a mapping",
    "model_attributes_type": "expected a mapping",
    "too_short": "expected {min_length} or more items",
    "too_long": "expected {max_length} items at most",
    "union_tag_invalid": "expected type to be one of {expected_tags}",
    "union_tag_not_found": "expected a mapping with the key {discriminator}",
}


@dataclass(frozen=True)
class _Problem:
    """An error of pydantic, and where it is in the user's file."""

    error: ErrorDetails
    where: Location

    @property
    def kind(self) -> str:
        return self.error["type"]

    @property
    def place(self) -> str:
        """The path in the file; of a key that is one of several, that of the mapping it belongs to."""
        several = self.kind == "missing" and len(self.where.sections) > 1
        return str(replace(self.where, path=self.where.path[:-1]) if several else self.where)

    def hint(self) -> str | None:
        """The valid key that an unknown one is nearest to; those that are required and not there come first."""
        key = str(self.where.path[-1])
        for keys in (self.where.needed_keys, self.where.keys):
            if near := difflib.get_close_matches(key, keys, n=1, cutoff=0.5):
                return near[0]
        return None

    def follows_from(self, other: "_Problem") -> bool:
        """Whether it is no mistake of its own, but there because of `other`."""
        path, deeper = self.where.path, other.where.path
        if self.kind == "missing" and other.kind == "extra_forbidden" and path[:-1] == deeper[:-1]:
            return len(self.where.sections) > 1 or other.hint() == path[-1]
        return self.kind == "too_short" and len(deeper) > len(path) and deeper[: len(path)] == path


def problems(model: type[BaseModel], content: Any, errors: Sequence[ErrorDetails]) -> list[str]:
    """One sentence for each mistake in `content`, which `model` refused with `errors`."""
    found = [_Problem(error, locate(model, content, error["loc"])) for error in errors]
    by_place: dict[str, list[_Problem]] = {}
    for problem in found:
        if not any(problem.follows_from(other) for other in found):
            by_place.setdefault(problem.place, []).append(problem)
    return [f"{place}: {_sentence(here)}" if place else _sentence(here) for place, here in by_place.items()]


def shown(value: Any) -> str:
    """A value for a message: shortened, with its type."""
    if value is None:
        return "nothing"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


def _sentence(here: Sequence[_Problem]) -> str:
    """What is wrong at one place; several problems there are the members of a union, none of which fits."""
    first = here[0]
    keys = ", ".join(first.where.keys)
    if first.kind == "extra_forbidden":
        hint = first.hint()
        return f"unknown key; did you mean {hint!r}? Valid keys: {keys}" if hint else f"unknown key; valid keys: {keys}"
    if first.kind == "missing" and len(first.where.sections) > 1:
        return f"expected one of the keys {', '.join(first.where.needed_keys)}, found {shown(first.where.around)}"
    if first.kind == "missing":
        return f"this {'key' if first.where.sections else 'item'} is required and was not found"
    if first.kind == "value_error":
        return first.error["msg"].removeprefix("Value error, ")
    return f"{_expectation(here)}, found {shown(first.error['input'])}{_advice(first)}"


def _expectation(here: Sequence[_Problem]) -> str:
    error = here[0].error
    if error["type"] in _WORDS:
        return _WORDS[error["type"]].format(**error.get("ctx", {}))
    messages = list(dict.fromkeys(problem.error["msg"] for problem in here))
    if all(message.startswith(_INPUT) for message in messages):
        return "expected " + " or ".join(message.removeprefix(_INPUT) for message in messages)
    return messages[0][0].lower() + messages[0][1:]


def _advice(problem: _Problem) -> str:
    found = problem.error["input"]
    plain = found is not None and not isinstance(found, Mapping | list)
    return "; put text in quotes" if plain and problem.kind == "string_type" else ""
