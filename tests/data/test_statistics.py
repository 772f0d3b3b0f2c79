"""Counts of a batch, and the checks that refuse all of it."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.data.column import Column
from mlops_ray.data.statistics import BatchStatistics, check_batch, merge, repeated_keys, row_keys
from mlops_ray.errors import ValidationError
from mlops_ray.spec import Checks

COLUMNS = (
    Column("age", "float", nullable=False, max_null_share=0.0),
    Column("income", "float", nullable=True, max_null_share=0.25),
    Column("label", "flag", nullable=True, feature=False),
)
counts = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 9))
parts = st.builds(BatchStatistics, st.integers(0, 9), st.integers(0, 9), counts, counts)


@given(st.lists(parts), st.lists(parts))
def test_merging_in_steps_is_merging_at_once(some: list[BatchStatistics], others: list[BatchStatistics]) -> None:
    assert merge([merge(some), merge(others)]) == merge(some + others)


def test_a_batch_within_its_bounds_passes() -> None:
    check_batch(BatchStatistics(100, 90, {"age: null": 10}, {"income": 25, "label": 100}), COLUMNS, Checks())


@pytest.mark.parametrize(
    ("statistics", "message"),
    [
        (
            BatchStatistics(100, 89, {"age: null": 11}),
            r"expected at most 10\.00% bad rows .*, found 11 of 100 \(11\.00%\): age: null \(11 rows\)",
        ),
        (BatchStatistics(20, 19, {}), r"expected at least 20 good rows \(checks\.min_rows\), found 19 among 20"),
        (BatchStatistics(50, 50, {}, {"income": 13}), r"'income': expected at most 25\.00% nulls .* found 13 of 50"),
        (BatchStatistics(50, 50, {}, {"income": 50}), r"'income': expected values, found null in all 50 rows"),
        (BatchStatistics(50, 0, {"age: null": 50}, {"age": 50}), r"'age': expected values, found null in all 50 rows"),
    ],
)
def test_a_broken_check_says_what_was_expected_and_found(statistics: BatchStatistics, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        check_batch(statistics, COLUMNS, Checks(min_rows=20))


def test_rows_that_repeat_a_unique_key_refuse_the_batch() -> None:
    with pytest.raises(ValidationError, match=r"expected id, day to name each row once .* found 2 of 30 rows"):
        check_batch(BatchStatistics(30, 30), COLUMNS, Checks(unique=("id", "day")), repeated=2)


def test_keys_repeat_where_rows_repeat_also_across_parts() -> None:
    first = pa.table({"id": ["a", "b", None], "day": [1, 1, 1]})
    second = pa.table({"id": ["a", "a", None], "day": [1, 2, 1]})
    keys = [row_keys(first, ("id", "day")), row_keys(second, ("id", "day"))]
    assert repeated_keys(keys[:1]) == 0
    assert repeated_keys(keys) == 2


def test_keys_do_not_depend_on_how_arrow_holds_the_strings() -> None:
    plain = pa.table({"id": ["a", "b"]})
    assert (row_keys(plain, ("id",)) == row_keys(plain.cast(pa.schema({"id": pa.large_string()})), ("id",))).all()


def test_no_keys_repeat_nothing() -> None:
    assert repeated_keys([]) == 0
