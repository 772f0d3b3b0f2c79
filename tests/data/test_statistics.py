"""Counts of a batch: what they say, and that merging them in any order and in any steps is counting at once."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_ray.data.column import columns_of
from mlops_ray.data.column_statistics import ColumnCounter, ColumnStatistics, Moments
from mlops_ray.data.hash_counts import HashCounter, HashCounts
from mlops_ray.data.hashing import combined, hash_numbers, hash_texts
from mlops_ray.data.row_sample import RowSample, RowSampler
from mlops_ray.data.rules import Broken, check_rows
from mlops_ray.data.statistics import BatchCounter, BatchStatistics, merge
from tests.data.batches import spec_of, table_of

COLUMNS = columns_of(spec_of("/raw"))
SCHEMA = pa.schema({"x": pa.int64()})
counts = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 9))
broken = st.dictionaries(
    st.sampled_from(["a.min", "b.regex"]),
    st.builds(Broken, st.integers(0, 9), st.lists(st.text(max_size=3), max_size=5, unique=True).map(tuple)),
)


def hash_counts(values: list[int]) -> HashCounts:
    counter = HashCounter(4)
    counter.add(np.array(values, np.uint64))
    return counter.result()


def sample(seed: int, rows: int) -> RowSample:
    sampler = RowSampler(SCHEMA, seed=seed, limit=5)
    sampler.add(pa.table({"x": pa.array(range(100 * seed, 100 * seed + rows), pa.int64())}))
    return sampler.result()


def part(seed: int, rows: int) -> BatchStatistics:
    counter = BatchCounter(COLUMNS, seed=seed)
    counter.add(
        check_rows(table_of(rows, first=100 * seed, age=[300.0, *[20.0] * (rows - 1)]), COLUMNS, source="x"), rows
    )
    return counter.result()


parts = st.builds(BatchStatistics, st.integers(0, 9), st.integers(0, 9), counts, counts, broken)
hashes = st.lists(st.integers(0, 12)).map(hash_counts)


@given(st.lists(parts, max_size=4), st.lists(parts, max_size=4))
def test_merging_in_steps_and_in_any_order_is_merging_at_once(
    some: list[BatchStatistics], others: list[BatchStatistics]
) -> None:
    assert merge([merge(some), merge(others)]) == merge(some + others) == merge(others + some)


@given(hashes, hashes, hashes)
def test_hash_counts_merge_in_any_order(a: HashCounts, b: HashCounts, c: HashCounts) -> None:
    assert a.merge(b).merge(c) == a.merge(b.merge(c)) == c.merge(b).merge(a)
    assert a.merge(HashCounts.empty(4)) == a


@given(st.lists(st.integers(0, 12)), st.integers(0, 20))
def test_hash_counts_do_not_depend_on_how_the_values_are_cut(values: list[int], cut: int) -> None:
    assert hash_counts(values[:cut]).merge(hash_counts(values[cut:])) == hash_counts(values)
    smallest = sorted(set(values))[:4]
    assert hash_counts(values).hashes.tolist() == smallest
    assert hash_counts(values).counts.tolist() == [values.count(value) for value in smallest]


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))
def test_samples_merge_in_any_order(a: int, b: int, c: int) -> None:
    one, two, three = sample(1, a), sample(2, b), sample(3, c)
    assert one.merge(two).merge(three) == one.merge(two.merge(three)) == three.merge(two).merge(one)
    assert one.merge(two).rows.num_rows == min(5, a + b)


def test_a_sample_is_uniform() -> None:
    sampler = RowSampler(SCHEMA, seed=3, limit=2000)
    for start in range(0, 100_000, 7000):
        sampler.add(pa.table({"x": pa.array(range(start, min(100_000, start + 7000)), pa.int64())}))
    chosen = sampler.result().rows["x"].to_numpy()
    assert len(set(chosen.tolist())) == 2000
    tenths = np.bincount(chosen // 10_000, minlength=10)
    assert ((tenths - 200) ** 2 / 200).sum() < 27.9  # chi-square, 9 degrees of freedom, one in a thousand


@given(st.lists(st.floats(-1e6, 1e6), max_size=30), st.lists(st.floats(-1e6, 1e6), max_size=30))
def test_moments_of_two_parts_are_those_of_the_whole(one: list[float], two: list[float]) -> None:
    whole = Moments.of(np.array(one + two, np.float64))
    merged = Moments.of(np.array(one, np.float64)).merge(Moments.of(np.array(two, np.float64)))
    assert (merged.n, merged.min, merged.max) == (whole.n, whole.min, whole.max)
    assert math.isclose(merged.mean, whole.mean, abs_tol=1e-6)
    assert math.isclose(merged.std, whole.std, rel_tol=1e-6, abs_tol=1e-6)


def counted(values: pa.Array, *, cut: int) -> ColumnStatistics:
    counter = ColumnCounter(values.type)
    counter.add(values.slice(0, cut))
    counter.add(values.slice(cut))
    return counter.result()


@settings(max_examples=40)
@given(st.lists(st.one_of(st.none(), st.integers(-5, 5)), max_size=30), st.integers(0, 30))
def test_a_column_is_counted_exactly_while_its_values_are_few(values: list[int | None], cut: int) -> None:
    found = counted(pa.array(values, pa.int64()), cut=cut)
    present = [value for value in values if value is not None]
    assert (found.rows, found.nulls, found.distinct.distinct()) == (len(values), values.count(None), len(set(present)))
    assert found.top == {str(value): present.count(value) for value in set(present)}


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.string()])
def test_many_distinct_values_are_estimated(kind: pa.DataType) -> None:
    found = counted(pa.array(range(40_000), pa.int64()).cast(kind), cut=10_000)
    assert found.top is None
    assert not found.distinct.exact
    assert abs(found.distinct.distinct() / 40_000 - 1) < 0.1


def test_a_value_has_one_hash_whichever_way_it_was_counted() -> None:
    few, many = ColumnCounter(pa.float64()), ColumnCounter(pa.float64())
    many.add(pa.array(np.arange(1000.0)))
    values = pa.array([1.0, -0.0, 2.5])
    assert few.add(values).tolist() == many.add(values).tolist() == hash_numbers(pa.array([1.0, 0.0, 2.5])).tolist()


def test_equal_rows_have_equal_hashes_and_others_do_not() -> None:
    columns = [hash_numbers(pa.array([1, 2, 1, 2])), hash_texts(pa.array(["2", "1", "2", "2"]))]
    rows = combined(columns).tolist()
    assert rows[0] == rows[2]
    assert len(set(rows)) == 3


def test_the_parts_of_a_batch_together_are_the_batch() -> None:
    one, two, three = part(1, 30), part(2, 40), part(3, 10)
    merged = merge([one, two, three])
    other = merge([three, merge([two, one])])
    assert (merged.rows, merged.good_rows, merged.reasons) == (80, 77, {"age: above max 120": 3})
    assert merged.broken == {"age.max": Broken(3, ("300.0",))} == other.broken
    assert merged.sample == other.sample
    assert merged.whole_rows == other.whole_rows
    assert merged.columns["visits"].top == other.columns["visits"].top
    assert (
        merged.columns["plan"].top == {"free": 39, "pro": 38} or sum((merged.columns["plan"].top or {}).values()) == 77
    )
    assert merged.whole_rows.repeated_share() == 0


def test_the_share_of_duplicates_counts_rows_that_repeat_another_in_every_column() -> None:
    counter = BatchCounter(COLUMNS, seed=0)
    table = pa.concat_tables([table_of(30), table_of(10)])
    counter.add(check_rows(table, COLUMNS, source="x"), 40)
    assert counter.result().whole_rows.repeated_share() == 0.25
