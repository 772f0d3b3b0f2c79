"""Row rules: which rows of a raw table are fit to use, and why the others are not; pure, vectorised."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mlops_ray.data.column import Column, arrow_schema
from mlops_ray.data.conversion import Converted, accepts, convert, expected_types
from mlops_ray.errors import SchemaError

__all__ = ["CheckedRows", "check_rows", "check_schema"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CheckedRows:
    """A raw table, parted."""

    good: pa.Table  # in the schema of the dataset's table
    bad: pa.Table  # columns as found, `_reason` ("; " between several) and `_source`
    reasons: Mapping[str, int]  # "column: what is wrong" -> rows; a row with two faults counts twice
    nulls: Mapping[str, int]  # column -> rows that are null there, good or bad


def check_schema(schema: pa.Schema, columns: Sequence[Column], *, uri: str) -> None:
    """Check that a file has every column of the spec in a usable type; columns beyond those are fine.

    Raises:
        SchemaError: it names file, column, what was expected and what was found.
    """
    for column in columns:
        places = schema.get_all_field_indices(column.name)
        if len(places) != 1:
            found = f"{len(places)} of that name" if places else f"only {', '.join(schema.names) or 'no columns'}"
            raise SchemaError(f"{uri}: expected one column {column.name!r}, found {found}")
        found_type = schema.field(places[0]).type
        if not accepts(column.kind, found_type):
            raise SchemaError(
                f"{uri}: column {column.name!r}: expected {expected_types(column.kind)}, found {found_type}; "
                "write the file with that type, or change the type in the spec"
            )


def check_rows(table: pa.Table, columns: Sequence[Column], *, source: str) -> CheckedRows:
    """Part the rows of a table whose schema passed `check_schema`.

    Args:
        table: rows as found in the file.
        columns: of the dataset's table.
        source: URI of the file, for the quarantine.
    """
    arrays: list[pa.Array] = []
    problems: list[tuple[str, Mask]] = []
    nulls: dict[str, int] = {}
    for column in columns:
        values = _one_array(table.column(column.name))
        nulls[column.name] = values.null_count
        converted = convert(values, column.kind)
        arrays.append(converted.values)
        problems += [(f"{column.name}: {what}", mask) for what, mask in _problems(values, converted, column)]
    checked = pa.Table.from_arrays(arrays, schema=arrow_schema(tuple(columns)))
    wrong = np.logical_or.reduce([mask for _, mask in problems]) if problems else np.zeros(table.num_rows, dtype=bool)
    return CheckedRows(
        good=checked.filter(pa.array(~wrong)) if wrong.any() else checked,
        bad=_quarantined(table, problems, wrong, source),
        reasons={reason: int(mask.sum()) for reason, mask in problems},
        nulls=nulls,
    )


def _one_array(chunks: pa.ChunkedArray) -> pa.Array:
    array = chunks.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # several dictionaries, or no chunk at all
        array = pa.concat_arrays(array.unify_dictionaries().chunks) if array.num_chunks else pa.nulls(0, array.type)
    return array


def _problems(values: pa.Array, converted: Converted, column: Column) -> Iterator[tuple[str, Mask]]:
    if not column.nullable and values.null_count:
        yield "null", values.is_null().to_numpy(zero_copy_only=False)
    yield from converted.problems
    good = converted.values
    if column.min is not None:
        yield from _rows(f"below min {column.min:g}", pc.less(good, column.min))
    if column.max is not None:
        yield from _rows(f"above max {column.max:g}", pc.greater(good, column.max))
    if column.categories is not None:
        known = pa.array(column.categories, pa.string())
        yield from _rows("not in categories", pc.and_(pc.invert(pc.is_in(good, known)), good.is_valid()))


def _rows(what: str, wrong: pa.Array) -> Iterator[tuple[str, Mask]]:
    mask = pc.fill_null(wrong, False).to_numpy(zero_copy_only=False)
    if mask.any():
        yield what, mask


def _quarantined(table: pa.Table, problems: Sequence[tuple[str, Mask]], wrong: Mask, source: str) -> pa.Table:
    own = table.drop_columns([name for name in ("_reason", "_source") if name in table.column_names])
    bad = own.filter(pa.array(wrong))
    texts = [pc.if_else(pa.array(mask[wrong]), reason, pa.scalar(None, pa.string())) for reason, mask in problems]
    reasons = pc.binary_join_element_wise(*texts, "; ", null_handling="skip") if texts else pa.array([], pa.string())
    return bad.append_column("_reason", reasons).append_column(
        "_source", pa.array([source] * bad.num_rows, pa.string())
    )
