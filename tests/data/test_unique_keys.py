"""Keys of unique columns, counted from files, without Ray."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.io.pyarrow import PyArrowFileIO

from mlops_ray.data.unique_keys import KeyRun, Keys, _repeated, repeated_rows, row_keys, write_run

IO = PyArrowFileIO()


def keys_of(numbers: list[int]) -> Keys:
    """Keys all over the range of 64 bits; equal first halves occur too."""
    values = np.array(numbers, np.uint64)
    return np.stack([values * np.uint64(2**59) + np.uint64(1), values], axis=1)


def run(folder: Path, name: str, numbers: list[int], *, old: bool = False) -> KeyRun:
    return write_run(keys_of(numbers), IO, (folder / name).as_uri(), old=old)


def test_keys_repeat_where_rows_repeat_also_across_parts(tmp_path: Path) -> None:
    first = pa.table({"id": ["a", "b", None], "day": [1, 1, 1]})
    second = pa.table({"id": ["a", "a", None], "day": [1, 2, 1]})
    runs = [
        write_run(row_keys(table, ("id", "day")), IO, (tmp_path / str(i)).as_uri())
        for i, table in enumerate((first, second))
    ]
    assert repeated_rows(runs[:1], IO) == 0
    assert repeated_rows(runs, IO) == 2


def test_keys_do_not_depend_on_how_arrow_holds_the_strings() -> None:
    plain = pa.table({"id": ["a", "b"]})
    assert (row_keys(plain, ("id",)) == row_keys(plain.cast(pa.schema({"id": pa.large_string()})), ("id",))).all()


small = st.lists(st.integers(0, 40), max_size=25)


@settings(max_examples=30)
@given(small, small, st.lists(st.integers(0, 40), max_size=25, unique=True))
def test_rows_are_counted_range_by_range_as_all_at_once(
    tmp_path_factory: object, one: list[int], two: list[int], old: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("keys")  # type: ignore[attr-defined]
    runs = [run(folder, "one", one), run(folder, "two", two), run(folder, "old", old, old=True)]
    seen = set(old)
    expected = 0
    for number in one + two:
        expected += number in seen
        seen.add(number)
    assert repeated_rows(runs, IO) == expected
    assert sum(_repeated(runs, IO, first, first + 32) for first in range(0, 256, 32)) == expected
