"""Arithmetic over named numbers, as text in a spec: parsed and checked here, never run as code."""

import ast
from collections.abc import Collection

__all__ = ["COUNTS", "FUNCTIONS", "names_in", "parse_expression"]

COUNTS = ("tp", "fp", "tn", "fn", "n")
"""Names of a confusion matrix, for expressions over all rows."""
FUNCTIONS = {"where": 3, "min": 2, "max": 2, "abs": 1}
"""What may be called -> how many arguments it takes."""

_LONGEST = 2_000
_NODES = (
    *(ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Call, ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.USub, ast.UAdd, ast.Not, ast.And, ast.Or),
    *(ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq),
)


def parse_expression(text: str, *, names: Collection[str] | None = None) -> ast.Expression:
    """The syntax tree of `text`, of which only arithmetic, comparisons, and/or/not, numbers, text to compare a category
    with, and the calls where, min, max and abs may be part.

    Args:
        text: such as `5 * tp - fp` or `where(label == 1, amount, 0) * prediction`.
        names: those that may be used; any when None.

    Raises:
        ValueError: it is something else; the message names the column, counted from 1.

    >>> parse_expression("5 * tp - cost", names=COUNTS)
    Traceback (most recent call last):
    ValueError: column 10: unknown name 'cost'; expected one of tp, fp, tn, fn, n
    """
    if len(text) > _LONGEST:
        raise ValueError(f"expected at most {_LONGEST:,} characters, found {len(text):,}")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        column = getattr(error, "offset", None) or 1
        raise ValueError(f"column {column}: expected an expression, found {text!r}") from None
    for node in ast.walk(tree):
        _check(node, tree, names)
    return tree


def names_in(tree: ast.Expression) -> frozenset[str]:
    """Every name that the expression reads."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called)


def _check(node: ast.AST, tree: ast.Expression, names: Collection[str] | None) -> None:
    where = f"column {getattr(node, 'col_offset', 0) + 1}"
    if not isinstance(node, _NODES):
        raise ValueError(
            f"{where}: {type(node).__name__} is not part of an expression; expected + - * /, comparisons, and, or, "
            f"not, numbers, names, and the functions {', '.join(FUNCTIONS)}"
        )
    if isinstance(node, ast.Call):
        _check_call(node, where)
    elif isinstance(node, ast.Constant) and not isinstance(node.value, int | float | str):
        raise ValueError(f"{where}: expected a number or text, found {node.value!r}")
    elif isinstance(node, ast.Name) and names is not None:
        allowed = {*names, *FUNCTIONS} if _is_called(node, tree) else set(names)
        if node.id not in allowed:
            raise ValueError(f"{where}: unknown name {node.id!r}; expected one of {', '.join(names)}")


def _check_call(node: ast.Call, where: str) -> None:
    if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS or node.keywords:
        raise ValueError(f"{where}: expected one of the functions {', '.join(FUNCTIONS)}")
    wanted = FUNCTIONS[node.func.id]
    if len(node.args) != wanted:
        raise ValueError(f"{where}: {node.func.id} takes {wanted} arguments, found {len(node.args)}")


def _is_called(name: ast.Name, tree: ast.Expression) -> bool:
    return any(isinstance(node, ast.Call) and node.func is name for node in ast.walk(tree))
