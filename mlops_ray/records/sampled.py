"""A uniform sample of what a version answered in some span of time, in bounded memory."""

from collections.abc import Iterator
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_ray.records.record_log import RecordLog
from mlops_ray.records.schema import SERVED, not_kept, not_kept_note

__all__ = ["sampled"]


def sampled(log: RecordLog, *, version: int, since_s: float, until_s: float, rows: int) -> pa.Table:
    """At most `rows` rows that `version` answered as champion in [since_s, until_s), each as likely as any other.

    Read file by file. Asked again the same, as long as no file came: chance comes from the files' names. The metadata
    says which features some of them do not hold, see `not_kept`. Only the columns of SERVED where there are no rows.
    """
    kept: list[tuple[np.ndarray, pa.Table]] = []
    missing = frozenset[str]()
    for path in log.served_files(since_s):
        table = log.served_in(path)
        own = table.filter(_answered(version, since_s, until_s))
        if not own.num_rows:
            continue
        missing |= not_kept(table.schema)
        chances = np.random.default_rng(crc32(path.encode())).random(own.num_rows)
        kept = list(_lowest([*kept, (chances, own)], rows))
    if not kept:
        return SERVED.empty_table()
    whole = pa.concat_tables([table for _, table in kept], promote_options="permissive")
    return whole.replace_schema_metadata(not_kept_note(missing))


def _answered(version: int, since_s: float, until_s: float) -> pc.Expression:
    return (
        (pc.field("version") == version)
        & (pc.field("role") == "champion")
        & (pc.field("assigned") == "champion")
        & (pc.field("status") == 200)
        & (pc.field("time_s") >= since_s)
        & (pc.field("time_s") < until_s)
    )


def _lowest(parts: list[tuple[np.ndarray, pa.Table]], rows: int) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Of all parts the `rows` rows of lowest chance."""
    chances = np.concatenate([part for part, _ in parts])
    if len(chances) <= rows:
        yield from parts
        return
    limit = np.partition(chances, rows - 1)[rows - 1]
    for part, table in parts:
        chosen = part <= limit
        if chosen.any():
            yield part[chosen], table.filter(pa.array(chosen))
