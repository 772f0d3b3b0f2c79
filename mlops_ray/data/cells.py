"""From Python values, cell by cell, to Arrow columns that the rules can be applied to; pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from mlops_ray.data.column import Kind
from mlops_ray.data.conversion import accepts

__all__ = ["column_of", "table_of_cells"]


def table_of_cells(columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, Kind]) -> pa.Table:
    """A table of named columns of Python values; those that are not in `kinds` become text."""
    return pa.table({name: column_of(cells, kinds.get(name, "text")) for name, cells in columns.items()})


def column_of(cells: Sequence[Any], kind: Kind) -> pa.Array:
    """The cells in their own type where all of them have one that fits `kind`, else as text.

    So one wrong cell is found by the rules in its row, and refuses no column:

    >>> column_of([1, 2], "int").type, column_of([1, "x"], "int").to_pylist()
    (DataType(int64), ['1', 'x'])
    """
    try:
        values = pa.array(cells)
    except (pa.ArrowException, OverflowError):  # of several types
        return pa.array([_text(cell) for cell in cells], pa.string())
    if accepts(kind, values.type) and (kind != "text" or pa.types.is_null(values.type) or _is_text(values.type)):
        return values
    return pa.array([_text(cell) for cell in cells], pa.string())


def _is_text(found: pa.DataType) -> bool:
    return bool(pa.types.is_string(found) or pa.types.is_large_string(found))


def _text(cell: Any) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bool | list | dict):
        return json.dumps(cell)
    return str(cell)
