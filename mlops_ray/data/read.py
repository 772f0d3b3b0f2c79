"""Reading exactly one version, through Ray Data."""

from collections.abc import Sequence

import pyarrow as pa
import ray
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.expressions.parser import parse
from pyiceberg.expressions.visitors import bind
from pyiceberg.table import Table
from ray.data import Dataset

from mlops_ray.data.planning import PinnedDatasource
from mlops_ray.data.ray_data import quiet
from mlops_ray.data.table import DatasetTable
from mlops_ray.data.version import DatasetVersion
from mlops_ray.errors import SchemaError, UnknownVersionError
from mlops_ray.spec import Workspace

__all__ = ["load_version", "read_version"]

_MOST_BLOCKS = 256


def read_version(
    workspace: Workspace,
    version: DatasetVersion,
    *,
    columns: Sequence[str] | None = None,
    filter: str | None = None,
) -> Dataset:
    """The rows of one version, whatever was committed since or became of the raw files; needs an initialised Ray.

    Args:
        workspace: where the catalog and the lake are.
        version: resolved before, once, so that a whole training reads the same.
        columns: only these are read from the files, in the table's order; all by default.
        filter: only rows it is true for, `age >= 18 and plan in ('pro', 'free') and income is not null`: columns
            against literals by = != < <= > >= in, not in, like 'prefix%', is null, is nan, joined by and, or, not and
            parentheses; times as '2026-11-01T00:00:00+00:00'. Files and row groups whose statistics say that they
            hold no such row are not read.

    Raises:
        UnknownVersionError: the version is not in the catalog (any more).
        SchemaError: a column the version does not have, or a filter that is none.
    """
    unknown = [column for column in columns or () if column not in version.schema]
    if unknown:
        raise SchemaError(f"{version.ref}: expected columns of {', '.join(version.schema)}, found {unknown[0]!r}")
    table = DatasetTable(version.table, catalog=workspace.catalog, lake=workspace.lake).load()
    snapshot = table.snapshot_by_id(int(version.snapshot_id)) if table is not None else None
    if table is None or snapshot is None:  # pyiceberg would read an unknown snapshot as an empty one
        raise UnknownVersionError(f"{version.ref} (snapshot {version.snapshot_id}) is not in the catalog")
    source = PinnedDatasource(table, snapshot.snapshot_id, _row_filter(table, version, filter))
    with quiet():
        blocks = max(1, min(len(source.plan_files), _MOST_BLOCKS))  # not by CPUs: the order of rows depends on it
        dataset = ray.data.read_datasource(source, override_num_blocks=blocks)
        return dataset.select_columns(list(columns)) if columns is not None else dataset


def load_version(
    workspace: Workspace,
    version: DatasetVersion,
    *,
    columns: Sequence[str] | None = None,
    filter: str | None = None,
) -> pa.Table:
    """The rows of one version as one table in this process, in the same order every time; see `read_version`."""
    with quiet():
        blocks = ray.get(list(read_version(workspace, version, columns=columns, filter=filter).to_arrow_refs()))
    table = pa.concat_tables(blocks)
    return table.select(list(columns)) if columns is not None else table


def _row_filter(table: Table, version: DatasetVersion, text: str | None) -> BooleanExpression:
    if text is None:
        return AlwaysTrue()
    snapshot = table.snapshot_by_id(int(version.snapshot_id))
    schema_id = snapshot.schema_id if snapshot is not None and snapshot.schema_id is not None else 0
    try:
        found = parse(text)
        bind(table.schemas()[schema_id], found, case_sensitive=True)
    except Exception as error:  # noqa: BLE001 - pyparsing's, and whatever a literal of another type makes pyiceberg raise
        raise SchemaError(
            f"{version.ref}: filter {text!r}: expected a form like \"age >= 18 and plan = 'pro'\" over the columns "
            f"{', '.join(version.schema)}, found: {error}"
        ) from None
    return found
