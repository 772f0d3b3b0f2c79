"""The rules that the spec has for each feature, held against requests; costs next to nothing where they are kept."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import RequestError
from mlops_ray.model import InputColumn, Signature
from mlops_ray.spec import Validate

__all__ = ["RequestRules", "strict_type"]

_TOLD = 10


@dataclass(frozen=True, slots=True)
class _Violation:
    """A value that breaks a rule."""

    row: int
    column: InputColumn
    rule: str
    what: str

    @property
    def refuses(self) -> bool:
        return self.rule not in self.column.soft

    def __str__(self) -> str:
        return f"row {self.row}: {self.column.name}: {self.what}"


class RequestRules:
    """What to do about requests whose values the batches of the training would not have had."""

    def __init__(self, signature: Signature, mode: Validate) -> None:
        self._columns = signature.inputs
        self._rejects = mode == "reject"
        self.wanted = mode != "off" and any(column.has_rules for column in signature.inputs)
        bounds = [_bounds(column) for column in signature.inputs]
        self._low, self._high = np.array([low for low, _ in bounds]), np.array([high for _, high in bounds])
        self._bounded = self.wanted and bool(np.isfinite(self._low).any() or np.isfinite(self._high).any())

    def of_records(self, records: Iterable[Sequence[Any]]) -> tuple[str, ...]:
        """Warnings for rows of plain values in the order of the inputs; this is the slow way, for rows that break some.

        Raises:
            RequestError: 422, where the spec wants such requests rejected; with the path of the first value.
        """
        found = [
            _Violation(row, column, *broken)
            for row, values in enumerate(records)
            for column, value in zip(self._columns, values, strict=False)
            if value is not None
            for broken in _broken(column, value)
        ]
        return self._told(found, lambda violation: f"$.records[{violation.row}].{violation.column.name}")

    def of_matrix(self, matrix: NDArray[np.float64]) -> tuple[str, ...]:
        """Warnings for encoded rows (n, d): bounds and categories. A text that is in no vocabulary is no more there, so
        that a regex cannot be looked at.

        Raises:
            RequestError: as `of_records`, with the name of the tensor or column as path.
        """
        if not self._bounded:
            return ()
        outside = (matrix < self._low) | (matrix > self._high)
        if not outside.any():
            return ()
        found = []
        for row, place in zip(*np.nonzero(outside), strict=True):
            column, value = self._columns[place], matrix[row, place]
            shown = None if column.type == "category" else value
            found += [_Violation(int(row), column, *broken) for broken in _broken(column, shown)]
        return self._told(found, lambda violation: violation.column.name)

    def _told(self, found: Sequence[_Violation], path: Any) -> tuple[str, ...]:
        if self._rejects:
            for violation in found:
                if violation.refuses:
                    raise RequestError(violation.what, path(violation))
        told = tuple(str(violation) for violation in found[:_TOLD])
        return (*told, f"and {len(found) - _TOLD} more") if len(found) > _TOLD else told


def strict_type(column: InputColumn, kind: Any, *, longest_integer: int) -> Any:
    """`kind`, which values of a column have, narrowed to those that keep the rules: msgspec checks it as it decodes."""
    if column.closed:
        return Literal[tuple(column.categories)] if column.categories else kind
    if column.regex is not None:
        return Annotated[kind, msgspec.Meta(pattern=f"(?a:{column.regex})")]
    if column.min is None and column.max is None:
        return kind
    if column.type == "int":
        low = -longest_integer if column.min is None else max(-longest_integer, int(np.ceil(column.min)))
        high = longest_integer if column.max is None else min(longest_integer, int(np.floor(column.max)))
        return Annotated[int, msgspec.Meta(ge=low, le=high)]
    return Annotated[float, msgspec.Meta(ge=column.min, le=column.max)]


def _bounds(column: InputColumn) -> tuple[float, float]:
    """Of the encoded values that are allowed; the code of a value that is not in the vocabulary is its length."""
    if column.closed:
        return -np.inf, len(column.categories) - 1
    low = -np.inf if column.min is None else column.min
    return low, np.inf if column.max is None else column.max


def _broken(column: InputColumn, value: Any) -> Iterator[tuple[str, str]]:
    """Rule and what is wrong of one value; None is a text that is no more there, and in no category."""
    if column.min is not None and value < column.min:
        yield "min", f"expected at least {column.min:g}, found {value:g}"
    if column.max is not None and value > column.max:
        yield "max", f"expected at most {column.max:g}, found {value:g}"
    shown = "another text" if value is None else repr(value)[:80]
    if column.closed and value not in column.codes:
        yield "categories", f"expected one of {', '.join(column.categories[:_TOLD])}, found {shown}"
    if column.regex is not None and value is not None and not re.search(column.regex, value, re.ASCII):
        yield "regex", f"expected a text that matches {column.regex}, found {shown}"
