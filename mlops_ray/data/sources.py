"""What is there to read: the files of a folder or bucket, or the next rows of a query."""

from collections.abc import Sequence

from mlops_ray.data.listing import list_sources
from mlops_ray.data.source import SourceObject
from mlops_ray.data.sql import sql_source
from mlops_ray.lake import S3Connection
from mlops_ray.spec import Data

__all__ = ["announced", "find_sources"]


def find_sources(data: Data, history: Sequence[SourceObject], connection: S3Connection) -> tuple[SourceObject, ...]:
    """Everything the spec's source has now; of a database what comes after `history`, known only when it was read.

    Raises:
        SourceError: nothing is there.
    """
    if data.sql is not None:
        return (sql_source(data.source, data.sql, tuple(history)),)
    return list_sources(data.source, connection, only=None if data.format == "auto" else data.format)


def announced(new: Sequence[SourceObject], data: Data) -> str:
    """What is about to be read, in words."""
    if data.sql is not None:
        return f"the rows of {new[0].uri}"
    return f"{len(new)} new files, {sum(s.size_bytes for s in new):,} bytes"
