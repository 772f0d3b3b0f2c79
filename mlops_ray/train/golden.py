"""The golden set: fixed rows that every candidate is looked at, besides a holdout that moves with the data."""

import pyarrow as pa
import pyarrow.dataset as pads

from mlops_ray.data import DatasetTable, load_version, split_reference
from mlops_ray.data.column import Column, columns_of
from mlops_ray.data.conversion import accepts, convert, expected_types
from mlops_ray.errors import MlopsRayError, SchemaError, ValidationError
from mlops_ray.lake import Lake
from mlops_ray.spec import ModelSpec, Workspace

__all__ = ["load_golden"]


def load_golden(spec: ModelSpec, workspace: Workspace) -> pa.Table | None:
    """The labelled rows of `retrain.golden` in the types of the model's table; None if the spec names none.

    It is small by its nature: all of it is held in memory.

    Raises:
        UnknownVersionError: no such dataset version.
        SchemaError: a column is missing or of another type.
        ValidationError: it cannot be read, holds no labelled row, or a value that is none of its column's type.
    """
    where = spec.retrain.golden
    if where is None:
        return None
    wanted = [c for c in columns_of(spec) if c.feature or c.name == spec.data.label]
    found = _version(where, workspace) if "@" in where and "://" not in where else _files(where)
    columns = {column.name: _converted(found, column, where) for column in wanted}
    rows = pa.table(columns)
    labelled = rows.filter(rows[spec.data.label].is_valid())
    if not labelled.num_rows:
        raise ValidationError(f"retrain.golden {where}: expected rows with a label, found none")
    return labelled


def _version(ref: str, workspace: Workspace) -> pa.Table:
    table, wanted = split_reference(ref)
    return load_version(workspace, DatasetTable.named(table, workspace).resolve(wanted))


def _files(where: str) -> pa.Table:
    try:
        place = Lake(where)
        return pads.dataset(place.root, format="parquet", filesystem=place.filesystem).to_table()
    except (MlopsRayError, pa.ArrowException, OSError) as error:
        raise ValidationError(f"retrain.golden {where}: expected Parquet that can be read, found: {error}") from None


def _converted(found: pa.Table, column: Column, where: str) -> pa.Array:
    if column.name not in found.column_names:
        raise SchemaError(
            f"retrain.golden {where}: column {column.name!r} is missing; found {', '.join(found.column_names)}"
        )
    values = found[column.name].combine_chunks()
    if not accepts(column.kind, values.type):
        raise SchemaError(
            f"retrain.golden {where}: column {column.name!r}: expected {expected_types(column.kind)}, "
            f"found {values.type}"
        )
    done = convert(values, column.kind)
    if done.problems:
        what, mask = done.problems[0]
        raise ValidationError(f"retrain.golden {where}: column {column.name!r}: {int(mask.sum())} values are {what}")
    return done.values
