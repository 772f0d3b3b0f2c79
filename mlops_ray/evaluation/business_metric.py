"""The value of an expression over outcomes: of the confusion counts, or the mean of one over rows."""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import ValidationError
from mlops_ray.spec import COUNTS, BusinessMetric, names_in, parse_expression

__all__ = ["BusinessValue", "business_value", "evaluate_expression"]

Floats = NDArray[np.float64]
_DRAWS = 1000
_Z = 1.959964

_BINARY: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.And: np.logical_and,
    ast.Or: np.logical_or,
}
_UNARY: Mapping[type, Callable[[Any], Any]] = {ast.USub: np.negative, ast.UAdd: np.positive, ast.Not: np.logical_not}
_CALLS: Mapping[str, Callable[..., Any]] = {"where": np.where, "min": np.minimum, "max": np.maximum, "abs": np.abs}


@dataclass(frozen=True)
class BusinessValue:
    """An expression's value, and its 95 % interval."""

    name: str
    value: float
    low: float
    high: float
    rows: int


def evaluate_expression(text: str, values: Mapping[str, Any]) -> Any:
    """The value of an expression of `spec.parse_expression`'s kind over numbers or arrays of one shape.

    Raises:
        ValueError: it cannot be parsed, or names something that is not in `values`.

    >>> float(evaluate_expression("where(tp > 2, 10 * tp - fp, 0)", {"tp": 3.0, "fp": 4.0}))
    26.0
    """
    tree = parse_expression(text, names=tuple(values))
    with np.errstate(divide="ignore", invalid="ignore"):
        return _value(tree.body, values)


def business_value(metric: BusinessMetric, rows: Mapping[str, Any], *, seed: int) -> BusinessValue | None:
    """The metric on rows that have `label`, `prediction` and features as arrays (n,); None where it is undefined.

    Over counts the interval is that of 1,000 multinomial draws of the counts; over rows the normal one of a mean.

    Raises:
        ValidationError: the expression names what the rows do not have.
    """
    labels, scores = np.asarray(rows["label"], dtype=np.float64), np.asarray(rows["prediction"], dtype=np.float64)
    names = names_in(parse_expression(metric.expression))
    try:
        if names & set(COUNTS):
            return _of_counts(metric, labels >= metric.threshold, scores >= metric.threshold, seed)
        values = np.broadcast_to(
            np.asarray(evaluate_expression(metric.expression, rows), dtype=np.float64), labels.shape
        )
    except ValueError as error:
        raise ValidationError(f"monitor.labels.business {metric.name!r}: {error}") from None
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    mean = float(values.mean())
    half = _Z * float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else float("inf")
    return BusinessValue(metric.name, mean, mean - half, mean + half, len(values)) if np.isfinite(half) else None


def _of_counts(
    metric: BusinessMetric, actual: NDArray[np.bool_], said: NDArray[np.bool_], seed: int
) -> BusinessValue | None:
    counts = np.bincount(2 * said + actual, minlength=4)  # tn, fn, fp, tp
    total = int(counts.sum())
    value = float(evaluate_expression(metric.expression, _named(counts, total)))
    draws = np.random.default_rng(seed).multinomial(total, counts / total, size=_DRAWS)
    drawn = np.broadcast_to(evaluate_expression(metric.expression, _named(draws.T, total)), (_DRAWS,))
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or len(drawn) < _DRAWS / 2:
        return None
    low, high = np.quantile(drawn, [0.025, 0.975])
    return BusinessValue(metric.name, value, float(low), float(high), total)


def _named(counts: NDArray[np.int64], total: int) -> dict[str, Any]:
    tn, fn, fp, tp = counts.astype(np.float64)
    return {"tp": tp, "fp": fp, "tn": tn, "fn": fn, "n": float(total)}


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return values[name]
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _CALLS[name](*(_value(argument, values) for argument in arguments))
        case ast.UnaryOp(op=op, operand=operand):
            return _UNARY[type(op)](_value(operand, values))
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_value(left, values), _value(right, values))
        case _:
            return _truth(node, values)


def _truth(node: ast.expr, values: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.BoolOp):
        found = [_value(part, values) for part in node.values]
        operation = _BINARY[type(node.op)]
        whole = found[0]
        for part in found[1:]:
            whole = operation(whole, part)
        return whole
    assert isinstance(node, ast.Compare), "nothing else is parsed"
    parts = [_value(part, values) for part in (node.left, *node.comparators)]
    steps = [_BINARY[type(op)](a, b) for op, a, b in zip(node.ops, parts, parts[1:], strict=False)]
    whole = steps[0]
    for step in steps[1:]:
        whole = np.logical_and(whole, step)
    return whole
