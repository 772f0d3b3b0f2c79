from pathlib import Path

import pyarrow as pa

from mlops_ray.lake import Lake
from mlops_ray.monitor.numbers import Numbers, number_of

TABLE = pa.table({"a": [1]})


def test_numbers_grow(tmp_path: Path) -> None:
    numbers = Numbers(Lake(str(tmp_path)), "toy")
    upcoming = numbers.upcoming()
    assert [numbers.stamp(TABLE)[0] for _ in range(3)] == [upcoming, upcoming + 1, upcoming + 2]


def test_whoever_comes_later_gives_larger_ones(tmp_path: Path) -> None:
    given = []
    for _ in range(3):
        numbers = Numbers(Lake(str(tmp_path)), "toy")
        given += [numbers.stamp(TABLE)[0], numbers.stamp(TABLE)[0]]
    assert given == sorted(set(given))


def test_whoever_only_looks_takes_no_number_away(tmp_path: Path) -> None:
    numbers = Numbers(Lake(str(tmp_path)), "toy")
    assert numbers.upcoming() == numbers.upcoming() == numbers.stamp(TABLE)[0]


def test_a_number_travels_beside_what_else_a_table_says_about_itself(tmp_path: Path) -> None:
    number, stamped = Numbers(Lake(str(tmp_path)), "toy").stamp(TABLE.replace_schema_metadata({b"k": b"v"}))
    assert number_of(stamped.schema.metadata) == number
    assert stamped.schema.metadata[b"k"] == b"v"


def test_numbers_fit_into_json(tmp_path: Path) -> None:
    assert Numbers(Lake(str(tmp_path)), "toy").upcoming() < 2**53


def test_a_file_from_before_has_number_zero() -> None:
    assert number_of({}) == 0
