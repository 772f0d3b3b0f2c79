"""What a sweep searches over: ranges, choices and constants, and which of them hold only under others."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from mlops_ray.spec.section import Section

__all__ = [
    "Choice",
    "IntRange",
    "LogRange",
    "Range",
    "SearchDimension",
    "Value",
    "active",
    "dimension_order",
    "grid_points",
]

Value = float | int | str | bool
# other hyperparameter -> the value, or one of the values, it must have
When = Mapping[str, Value | tuple[Value, ...]]


class _Dimension(Section):
    """A hyperparameter that varies; with `when`, trials where the condition does not hold go without it."""

    when: When = Field(default_factory=dict, description="other hyperparameter -> value or [values] it must have")


class Range(_Dimension):
    """Uniform between two numbers."""

    uniform: tuple[float, float]


class LogRange(_Dimension):
    """Uniform between two positive numbers on a log scale."""

    log_uniform: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]


class IntRange(_Dimension):
    """Whole numbers from the first to the last, both included."""

    int_uniform: tuple[int, int]


class Choice(_Dimension):
    """One of a list."""

    choice: tuple[Value, ...] = Field(min_length=1)


_Kind = Literal["uniform", "log_uniform", "int_uniform", "choice"]
_KINDS: dict[_Kind, type[_Dimension]] = {
    "uniform": Range,
    "log_uniform": LogRange,
    "int_uniform": IntRange,
    "choice": Choice,
}


def _dimension_kind(value: Any) -> str | None:
    if isinstance(value, Section):
        return next(kind for kind, cls in _KINDS.items() if isinstance(value, cls))
    if isinstance(value, Mapping):
        return next((kind for kind in _KINDS if kind in value), "choice")
    return "constant"


SearchDimension = Annotated[
    Annotated[Range, Tag("uniform")]
    | Annotated[LogRange, Tag("log_uniform")]
    | Annotated[IntRange, Tag("int_uniform")]
    | Annotated[Choice, Tag("choice")]
    | Annotated[float | int | str | bool, Tag("constant")],
    Discriminator(_dimension_kind),
]


def dimension_order(space: Mapping[str, SearchDimension]) -> tuple[str, ...]:
    """The hyperparameters such that each comes after those its `when` names, otherwise in the order given.

    Raises:
        ValueError: a `when` names a hyperparameter that is not there, asks a range of reals, asks for a value that
            cannot come up, or conditions go in a circle.
    """
    for name, dimension in space.items():
        for other, wanted in _when(dimension).items():
            _check_condition(name, other, wanted, space)
    done: list[str] = []
    while len(done) < len(space):
        ready = [name for name in space if name not in done and set(_when(space[name])) <= set(done)]
        if not ready:
            circle = ", ".join(sorted(set(space) - set(done)))
            raise ValueError(f"space: the conditions of {circle} go in a circle; take a `when` out")
        done.append(ready[0])
    return tuple(done)


def active(dimension: SearchDimension, chosen: Mapping[str, Any]) -> bool:
    """Whether `when` holds for the values chosen so far; one that was not chosen is not among any values."""
    return all(
        other in chosen and any(_same(chosen[other], value) for value in _values(wanted))
        for other, wanted in _when(dimension).items()
    )


def grid_points(space: Mapping[str, SearchDimension]) -> Iterator[dict[str, Any]]:
    """Every combination of choices and constants that the conditions allow, the last hyperparameter fastest.

    Raises:
        ValueError: as `dimension_order`.
    """
    return _combinations(space, dimension_order(space), {})


def _combinations(
    space: Mapping[str, SearchDimension], names: Sequence[str], chosen: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    if not names:
        yield chosen
        return
    name, *rest = names
    dimension = space[name]
    if not active(dimension, chosen):
        yield from _combinations(space, rest, chosen)
        return
    for value in dimension.choice if isinstance(dimension, Choice) else (dimension,):
        yield from _combinations(space, rest, {**chosen, name: value})


def _check_condition(name: str, other: str, wanted: Value | tuple[Value, ...], space: Mapping[str, Any]) -> None:
    where = f"space.{name}.when"
    if other not in space:
        raise ValueError(f"{where}: {other!r} is not in the space; it has {', '.join(space)}")
    asked = space[other]
    if isinstance(asked, Range | LogRange):
        raise ValueError(f"{where}: {other!r} is a range of reals, which no value can be asked of; use choice")
    if not _values(wanted):
        raise ValueError(f"{where}.{other}: expected a value or a list of values, found an empty list")
    for value in _values(wanted):
        if not _possible(asked, value):
            raise ValueError(f"{where}.{other}: {value!r} is no value of {other!r}, so the condition never holds")


def _possible(asked: SearchDimension, value: Value) -> bool:
    match asked:
        case Choice(choice=values):
            return any(_same(value, known) for known in values)
        case IntRange(int_uniform=(low, high)):
            return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        case constant:
            return _same(value, constant)


def _same(one: Any, other: Any) -> bool:
    # True is no 1 here, though Python says so
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _values(wanted: Value | tuple[Value, ...]) -> tuple[Value, ...]:
    return wanted if isinstance(wanted, tuple) else (wanted,)


def _when(dimension: SearchDimension) -> When:
    return dimension.when if isinstance(dimension, _Dimension) else {}
