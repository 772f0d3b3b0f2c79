"""From the types a raw file has to the types of the table, value by value; pure, knows pyarrow and numpy only."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from mlops_ray.data.column import Kind
from mlops_ray.data.pictures import accepts_pictures, to_pictures
from mlops_ray.data.text import parse_text

__all__ = ["Converted", "accepts", "convert", "expected_types"]

Mask = npt.NDArray[np.bool_]
_EXACT_FLOAT = 2**53  # whole numbers up to this are exact in a double
_TIME = pa.timestamp("us", tz="UTC")
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_YEARS_1_TO_9999 = (-62_135_596_800, 253_402_300_799)  # Unix seconds that Python and SQL can show


@dataclass(frozen=True)
class Converted:
    """A column in the type of the table; what could not be converted is null there and true in one of the masks."""

    values: pa.Array
    problems: tuple[tuple[str, Mask], ...]  # what is wrong, and in which rows


def _is_text(found: pa.DataType) -> bool:
    if pat.is_dictionary(found):
        return _is_text(found.value_type)
    return bool(pat.is_string(found) or pat.is_large_string(found) or pat.is_string_view(found))


def _is_number(found: pa.DataType) -> bool:
    return bool(pat.is_integer(found) or pat.is_floating(found))


_ACCEPTED: dict[Kind, tuple[str, Callable[[pa.DataType], bool]]] = {
    "float": ("float, int or decimal", lambda t: _is_number(t) or pat.is_decimal(t)),
    "int": ("int, or float with whole numbers", _is_number),
    "bool": ("bool, or int with 0 and 1", lambda t: pat.is_boolean(t) or pat.is_integer(t)),
    "category": ("string", _is_text),
    "image": ("binary, a struct with the field bytes, or base64 text", lambda t: accepts_pictures(t) or _is_text(t)),
    "flag": ("bool, or int or float with 0 and 1", lambda t: pat.is_boolean(t) or _is_number(t)),
    "text": ("string or int", lambda t: _is_text(t) or pat.is_integer(t)),
    "time": ("timestamp, date, or string in ISO 8601", lambda t: pat.is_timestamp(t) or pat.is_date(t) or _is_text(t)),
}


def accepts(kind: Kind, found: pa.DataType) -> bool:
    """Whether values of the type found can become values of `kind` without guessing; a column of nulls always can."""
    return bool(pat.is_null(found) or _ACCEPTED[kind][1](found))


def expected_types(kind: Kind) -> str:
    """The types that `accepts` takes, in words."""
    return _ACCEPTED[kind][0]


def convert(values: pa.Array, kind: Kind) -> Converted:
    """Convert a column of an accepted type, or one of text to any kind (of a format that has no types).

    >>> done = convert(pa.array([1.0, 2.5, None]), "int")
    >>> done.values.to_pylist(), [(what, mask.tolist()) for what, mask in done.problems]
    ([1, None, None], [('not a whole number', [False, True, False])])
    """
    if pat.is_null(values.type):
        return Converted(pa.nulls(len(values), _TARGET[kind]), ())
    if pat.is_dictionary(values.type):
        values = values.dictionary_decode()
    if kind == "time":
        return _to_time(values)
    if kind == "image":
        return Converted(*to_pictures(values))
    if kind in ("category", "text"):
        return Converted(values.cast(pa.string()), ())
    if _is_text(values.type):
        return Converted(*parse_text(values.cast(pa.string()), kind))
    problems = tuple(_number_problems(values, kind))
    good = _blank(values, problems)
    if pat.is_decimal(good.type):
        good = good.cast(pa.float64())
    return Converted(good.cast(_TARGET[kind], safe=False), problems)


_TARGET: dict[Kind, pa.DataType] = {
    "float": pa.float64(),
    "int": pa.int64(),
    "bool": pa.bool_(),
    "category": pa.string(),
    "image": pa.large_binary(),
    "flag": pa.int64(),
    "text": pa.string(),
    "time": _TIME,
}


def _number_problems(values: pa.Array, kind: Kind) -> Iterator[tuple[str, Mask]]:
    floating = pat.is_floating(values.type)
    if kind in ("bool", "flag"):
        if not pat.is_boolean(values.type):
            yield from _where("not 0 or 1", pc.invert(pc.is_in(values, pa.array([0, 1], values.type))), values)
        return
    if floating:
        yield from _where("not finite", pc.invert(pc.is_finite(values)), values)
    if kind == "int" and floating:
        finite = pc.if_else(pc.is_finite(values), values, 0.0)
        yield from _where("not a whole number", pc.not_equal(finite, pc.floor(finite)), values)
        yield from _where("too large to be exact", pc.greater(pc.abs(finite), float(_EXACT_FLOAT)), values)
    elif kind == "int" and pat.is_uint64(values.type):
        yield from _where("too large for int", pc.greater(values, pa.scalar(2**63 - 1, pa.uint64())), values)
    elif kind == "float" and values.type in (pa.int64(), pa.uint64()):
        above = pc.greater(values, pa.scalar(_EXACT_FLOAT, values.type))
        if values.type == pa.int64():
            above = pc.or_(above, pc.less(values, pa.scalar(-_EXACT_FLOAT, values.type)))
        yield from _where("too large to be exact", above, values)


def _where(what: str, wrong: pa.Array, values: pa.Array) -> Iterator[tuple[str, Mask]]:
    if not pc.any(wrong).as_py():  # most often, and this is the quickest way to know
        return
    mask = pc.and_(pc.fill_null(wrong, False), values.is_valid()).to_numpy(zero_copy_only=False)
    if mask.any():
        yield what, mask


def _blank(values: pa.Array, problems: tuple[tuple[str, Mask], ...]) -> pa.Array:
    if not problems:
        return values
    wrong = np.logical_or.reduce([mask for _, mask in problems])
    return pc.if_else(pa.array(~wrong), values, pa.scalar(None, values.type))


def _to_time(values: pa.Array) -> Converted:
    """Times without a zone are taken as UTC; below a microsecond they are cut off."""
    if _is_text(values.type):
        return _text_to_time(values.cast(pa.string()))
    if pat.is_date(values.type):
        values = values.cast(pa.timestamp("s" if pat.is_date32(values.type) else "ms"))
    first, last = (max(-(2**63), min(2**63 - 1, second * _PER_SECOND[values.type.unit])) for second in _YEARS_1_TO_9999)
    ticks = values.cast(pa.int64())
    problems = tuple(
        _where("not in the years 1 to 9999", pc.or_(pc.less(ticks, first), pc.greater(ticks, last)), values)
    )
    good = _blank(values, problems)
    zone = values.type.tz
    return Converted(good.cast(pa.timestamp("us", tz=zone), safe=False).cast(_TIME), problems)


def _text_to_time(values: pa.Array) -> Converted:
    for zone in (None, "UTC"):  # a column is nearly always written one way, and then this is quick
        try:
            return Converted(values.cast(pa.timestamp("us", tz=zone)).cast(_TIME), ())
        except pa.ArrowInvalid:
            continue
    times = [_parse_time(text) for text in values.to_pylist()]
    wrong = np.array([t is None for t in times], dtype=bool) & values.is_valid().to_numpy(zero_copy_only=False)
    return Converted(pa.array(times, _TIME), (("not a time in ISO 8601", wrong),) if wrong.any() else ())


def _parse_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
