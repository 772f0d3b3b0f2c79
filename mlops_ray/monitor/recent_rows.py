"""The newest rows that a champion answered itself, for people to look at."""

from collections import deque
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_ray.model import encode
from mlops_ray.monitor.answered_rows import FEATURE
from mlops_ray.monitor.reference import Watched
from mlops_ray.monitor.sample_rows import Floats, SampleRows
from mlops_ray.monitor.yardstick import PREDICTION
from mlops_ray.records import not_kept

__all__ = ["RecentRows"]

_FACTS = ["request_id", "row", "time_s", "score"]


class RecentRows:
    """At most `rows` rows. What was hashed or dropped, and features that are hidden, are not even kept here."""

    def __init__(self, watched: Watched, *, hidden: Collection[str] = (), rows: int = 500) -> None:
        self._watched = watched
        self._hidden = frozenset(hidden)
        self._most = rows
        self._tables: deque[pa.Table] = deque()

    def __len__(self) -> int:
        return sum(table.num_rows for table in self._tables)

    def add(self, records: pa.Table) -> None:
        """Take in served requests, of which those count that this version answered as champion."""
        if not records.num_rows or "features" not in records.column_names:
            return
        own = self._watched.own(records)
        places = np.argsort(own["time_s"].to_numpy(), kind="stable")[-self._most :]
        if not len(places):
            return
        self._tables.append(self._seen(own.take(pa.array(places)), self._hidden | not_kept(records.schema)))
        spare = len(self) - self._most
        while spare > 0:
            first = self._tables.popleft()
            if first.num_rows > spare:  # take copies, so that the rest of the table goes
                self._tables.appendleft(first.take(pa.array(np.arange(spare, first.num_rows))))
            spare -= first.num_rows

    def rows(self, since_s: float, most: int) -> SampleRows:
        """Those answered at or after `since_s`, to show `most` of; with the features that all of them may show."""
        classes = self._watched.signature.classes
        if not self._tables:
            return SampleRows(pa.table({name: [] for name in _FACTS}), {}, classes, most)
        names = [n for n in self._tables[-1].column_names if all(n in table.column_names for table in self._tables)]
        table = pa.concat_tables([table.select(names) for table in self._tables]).combine_chunks()
        if all(known.column_names == names for known in self._tables):
            self._tables = deque([table])  # many small ones are slow
        table = table.filter(pc.field("time_s") >= since_s).sort_by([("time_s", "descending")])
        return SampleRows(table, self._values(table), classes, most)

    def _seen(self, own: pa.Table, hidden: Collection[str]) -> pa.Table:
        features = pa.Table.from_struct_array(own["features"].combine_chunks())
        names = [*_FACTS, *(["confidence"] if self._watched.signature.classes else [])]
        seen = own.select([name for name in names if name in own.column_names])
        for name in self._names(hidden):
            if name in features.column_names:
                seen = seen.append_column(FEATURE + name, features[name])
        return seen.replace_schema_metadata(None)

    def _names(self, hidden: Collection[str]) -> list[str]:
        """What the records call the features that people may see; of a picture what is known of it."""
        signature = self._watched.signature
        names = [name for name in signature.names if name not in hidden]
        if signature.image is None or not names:
            return names
        return [*(column.name for column in signature.columns()), f"{signature.image.name}.digest"]

    def _values(self, table: pa.Table) -> dict[str, Floats]:
        signature = self._watched.signature
        values = {PREDICTION: table["score"].to_numpy()}
        if signature.image is not None:
            names = [column.name for column in signature.columns() if FEATURE + column.name in table.column_names]
            return values | {name: table[FEATURE + name].to_numpy() for name in names}
        seen = replace(signature, inputs=tuple(i for i in signature.inputs if FEATURE + i.name in table.column_names))
        plain = pa.table({name: table[FEATURE + name] for name in seen.names})
        matrix = encode(seen, plain) if seen.inputs else np.empty((table.num_rows, 0))
        return values | {name: matrix[:, i] for i, name in enumerate(seen.names)}
