"""How many rows repeat the unique columns of another one, in memory that does not grow with the rows.

Each task writes the keys of its rows, 16 bytes each, as sorted runs into a folder; they are counted one range of keys
after the other, of about two million keys, on Ray when there are several.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO

from mlops_ray.data.ray_data import each_task

__all__ = ["RUN_KEYS", "KeyRun", "Keys", "old_runs", "repeated_rows", "row_keys", "write_run"]

Keys = npt.NDArray[np.uint64]  # (rows, 2): 128 bits that stand for the unique columns of a row
RUN_KEYS = 4_000_000
"""Keys that a task holds before it writes a run."""
_RANGES = 256
_RANGE_KEYS = 2_000_000
_BATCH_ROWS = 500_000
_SALTS = ("mlops_ray unique", "unique mlops_ray")  # 16 characters each, as pandas wants them


@dataclass(frozen=True)
class KeyRun:
    """A file of sorted keys."""

    location: str
    starts: tuple[int, ...]  # where each of the 256 ranges of keys begins, and the end
    old: bool = False  # of rows that are in the table already


def row_keys(table: pa.Table, unique: Sequence[str]) -> Keys:
    """(rows, 2) uint64: equal rows have equal keys, in every process; others do not (128 bits)."""
    frame = table.select(list(unique)).to_pandas()
    halves = [pd.util.hash_pandas_object(frame, index=False, hash_key=salt).to_numpy() for salt in _SALTS]
    return np.stack(halves, axis=1)


def write_run(keys: Keys, io_: FileIO, location: str, *, old: bool = False) -> KeyRun:
    """Sort keys and write them to a file."""
    ordered = _sorted(keys)
    borders = np.arange(1, _RANGES, dtype=np.uint64) << np.uint64(56)
    starts = np.searchsorted(ordered[:, 0], borders).tolist()
    with io_.new_output(location).create(overwrite=True) as stream:
        stream.write(ordered.astype("<u8").tobytes())
    return KeyRun(location, (0, *starts, len(ordered)), old)


def old_runs(files: Sequence[str], unique: Sequence[str], io_: FileIO, folder: str) -> tuple[KeyRun, ...]:
    """The keys of the rows in the table's data files, which are read once more for it, these columns only."""

    def runs(numbered: tuple[int, str]) -> list[KeyRun]:
        number, file = numbered
        with io_.new_input(file).open() as stream:
            batches = pq.ParquetFile(stream).iter_batches(_BATCH_ROWS, columns=list(unique))
            return [
                write_run(row_keys(pa.Table.from_batches([batch]), unique), io_, f"{folder}/old-{number}-{i}", old=True)
                for i, batch in enumerate(batches)
            ]

    return tuple(run for found in each_task(runs, list(enumerate(files))) for run in found) if files else ()


def repeated_rows(runs: Sequence[KeyRun], io_: FileIO, *, range_keys: int = _RANGE_KEYS) -> int:
    """How many new rows repeat the key of an old one or of a new one before them."""
    total = sum(run.starts[-1] for run in runs)
    count = max(1, min(_RANGES, -(-total // range_keys)))
    ranges = [(i * _RANGES // count, (i + 1) * _RANGES // count) for i in range(count)]

    def repeated(between: tuple[int, int]) -> int:
        return _repeated(runs, io_, *between)

    return sum(each_task(repeated, ranges)) if len(ranges) > 1 else repeated(ranges[0])


def _repeated(runs: Sequence[KeyRun], io_: FileIO, first: int, last: int) -> int:
    new = np.concatenate([_read(run, io_, first, last) for run in runs if not run.old] or [np.empty((0, 2), np.uint64)])
    old = [_distinct(_read(run, io_, first, last)) for run in runs if run.old]
    known = _distinct(np.concatenate(old)) if old else np.empty((0, 2), np.uint64)
    return len(new) - (len(_distinct(np.concatenate([new, known]))) - len(known))


def _read(run: KeyRun, io_: FileIO, first: int, last: int) -> Keys:
    start, end = run.starts[first], run.starts[last]
    with io_.new_input(run.location).open() as stream:
        stream.seek(16 * start)
        content = stream.read(16 * (end - start))
    return np.frombuffer(content, "<u8").astype(np.uint64).reshape(-1, 2)


def _sorted(keys: Keys) -> Keys:
    return keys[np.lexsort((keys[:, 1], keys[:, 0]))]


def _distinct(keys: Keys) -> Keys:
    ordered = _sorted(keys)
    if not len(ordered):
        return ordered
    return ordered[np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])]
