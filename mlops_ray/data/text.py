"""From text to the values of the table, by the type the spec asks for and never by guessing; pure."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mlops_ray.data.column import Kind

__all__ = ["parse_text"]

Mask = npt.NDArray[np.bool_]
_EXACT_FLOAT = 2**53  # whole numbers up to this are exact in a double
_INT_BITS = 63
_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")


def parse_text(texts: pa.Array, kind: Kind) -> tuple[pa.Array, tuple[tuple[str, Mask], ...]]:
    """Values of a kind float, int, bool or flag, written as text; space around a value does not count.

    >>> values, problems = parse_text(pa.array(["7", " 007", "x", None]), "int")
    >>> values.to_pylist(), [(what, mask.tolist()) for what, mask in problems]
    ([7, 7, None, None], [('not a whole number', [False, False, True, False])])
    """
    trimmed = pc.utf8_trim_whitespace(texts)
    return _PARSERS[kind](trimmed)


_Parsed = tuple[pa.Array, tuple[tuple[str, Mask], ...]]


def _floats(texts: pa.Array) -> _Parsed:
    problems: list[tuple[str, Mask]] = []
    try:  # a column is nearly always clean, and then this is quick
        values = pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        values, problems = _one_by_one(texts, _float, pa.float64(), "not a number")
    infinite = pc.invert(pc.is_finite(values))
    problems += _where("not finite", infinite)
    above = pc.greater(pc.abs(pc.if_else(infinite, 0.0, values)), float(_EXACT_FLOAT - 1))
    if pc.any(above).as_py():  # only then a whole number may have been rounded
        rounded = [
            _is_inexact(text) if high else False
            for text, high in zip(texts.to_pylist(), above.to_pylist(), strict=True)
        ]
        problems += _where("too large to be exact", pa.array(rounded, pa.bool_()))
    return _without(values, problems), tuple(problems)


def _ints(texts: pa.Array) -> _Parsed:
    try:
        hexadecimal = pc.any(pc.match_substring(texts, "x", ignore_case=True)).as_py()  # Arrow's cast takes 0x10
        if not hexadecimal:
            return pc.cast(texts, pa.int64()), ()
    except pa.ArrowInvalid:
        pass
    values, problems = _one_by_one(texts, _int, pa.int64(), "not a whole number")
    return values, tuple(problems)


def _truths(texts: pa.Array) -> _Parsed:
    lower = pc.utf8_lower(texts)
    true, false = pc.is_in(lower, pa.array(_TRUE)), pc.is_in(lower, pa.array(_FALSE))
    return _true_or_false(texts, true, false, "not true or false")


def _flags(texts: pa.Array) -> _Parsed:
    lower = pc.utf8_lower(texts)  # 1.0 is how pandas writes a label that is null elsewhere
    true, false = pc.is_in(lower, pa.array([*_TRUE, "1.0"])), pc.is_in(lower, pa.array([*_FALSE, "0.0"]))
    values, problems = _true_or_false(texts, true, false, "not 0 or 1")
    return values.cast(pa.int64()), problems


_PARSERS: dict[Kind, Callable[[pa.Array], _Parsed]] = {"float": _floats, "int": _ints, "bool": _truths, "flag": _flags}


def _true_or_false(texts: pa.Array, true: pa.Array, false: pa.Array, what: str) -> _Parsed:
    known = pc.or_(true, false)
    values = pc.if_else(known, true, pa.scalar(None, pa.bool_()))
    return values, tuple(_where(what, pc.and_(pc.invert(known), texts.is_valid())))


def _one_by_one(
    texts: pa.Array, parse: Callable[[str], Any], kind: pa.DataType, what: str
) -> tuple[pa.Array, list[tuple[str, Mask]]]:
    parsed = [None if text is None else parse(text) for text in texts.to_pylist()]
    wrong = pc.and_(pa.array([value is None for value in parsed], pa.bool_()), texts.is_valid())
    return pa.array(parsed, kind), list(_where(what, wrong))


def _float(text: str) -> float | None:
    if "_" in text or not text.isascii():  # Python takes 1_000 and digits of every script
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _int(text: str) -> int | None:
    if "_" in text or not text.isascii():
        return None
    try:
        number = int(text)
    except ValueError:
        value = _float(text)
        if value is None or not value.is_integer() or abs(value) > _EXACT_FLOAT:
            return None
        number = int(value)
    return number if -(2**_INT_BITS) <= number < 2**_INT_BITS else None


def _is_inexact(text: str) -> bool:
    digits = text.lstrip("+-")
    return digits.isdigit() and int(digits) > _EXACT_FLOAT


def _where(what: str, wrong: pa.Array) -> Iterator[tuple[str, Mask]]:
    mask = pc.fill_null(wrong, False).to_numpy(zero_copy_only=False)
    if mask.any():
        yield what, mask


def _without(values: pa.Array, problems: list[tuple[str, Mask]]) -> pa.Array:
    if not problems:
        return values
    wrong = np.logical_or.reduce([mask for _, mask in problems])
    return pc.if_else(pa.array(~wrong), values, pa.scalar(None, values.type))
