"""Row rules, without Ray."""

import re
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.data.column import Column, columns_of
from mlops_ray.data.rules import CheckedRows, check_rows, check_schema
from mlops_ray.errors import SchemaError
from tests.data.batches import spec_of, table_of

COLUMNS = columns_of(spec_of("/raw"))


def checked(**changes: Any) -> CheckedRows:
    return check_rows(table_of(4, **changes), COLUMNS, source="file:///raw/a.parquet")


def test_rows_that_keep_the_rules_are_all_good() -> None:
    result = checked()
    assert (result.good.num_rows, result.bad.num_rows, result.reasons) == (4, 0, {})


def test_good_rows_have_the_columns_and_types_of_the_table() -> None:
    assert checked().good.schema == pa.schema(
        {
            "customer": pa.string(),
            "day": pa.timestamp("us", tz="UTC"),
            "age": pa.float64(),
            "visits": pa.int64(),
            "active": pa.bool_(),
            "plan": pa.string(),
            "income": pa.float64(),
            "churned": pa.int64(),
        }
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"age": [1.0, None, 3.0, 4.0]}, "age: null"),
        ({"age": [1.0, float("nan"), 3.0, 4.0]}, "age: not finite"),
        ({"age": [1.0, float("-inf"), 3.0, 4.0]}, "age: not finite"),
        ({"age": [1.0, -1.0, 3.0, 4.0]}, "age: below min 0"),
        ({"age": [1.0, 121.0, 3.0, 4.0]}, "age: above max 120"),
        ({"visits": [1, None, 1, 1]}, "visits: null"),
        ({"visits": [1.0, 0.5, 1.0, 1.0]}, "visits: not a whole number"),
        ({"active": [True, None, True, True]}, "active: null"),
        ({"plan": ["free", "gold", "pro", "pro"]}, "plan: not in categories"),
        ({"plan": ["free", None, "pro", "pro"]}, "plan: null"),
        ({"customer": ["a", None, "c", "d"]}, "customer: null"),
        ({"day": ["2024-01-01", "soon", "2024-01-01", "2024-01-01"]}, "day: not a time in ISO 8601"),
        ({"day": ["2024-01-01", None, "2024-01-01", "2024-01-01"]}, "day: null"),
        ({"churned": [0, 2, 1, 1]}, "churned: not 0 or 1"),
        ({"income": [1.0, float("inf"), None, None]}, "income: not finite"),
    ],
)
def test_a_row_that_breaks_a_rule_is_bad_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    result = checked(**changes)
    customers = table_of(4, **changes)["customer"].to_pylist()
    assert result.reasons == {reason: 1}
    assert result.bad["_reason"].to_pylist() == [reason]
    assert result.bad["customer"].to_pylist() == customers[1:2]
    assert result.good["customer"].to_pylist() == [customers[0], *customers[2:]]


def test_null_is_fine_where_the_spec_allows_it_and_in_the_label() -> None:
    result = checked(income=[None] * 4, churned=[None, 1, None, 0])
    assert (result.bad.num_rows, result.nulls["income"], result.nulls["churned"]) == (0, 4, 2)


@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-5, 130).map(float)), min_size=1, max_size=30))
def test_a_row_is_good_exactly_when_its_value_keeps_the_rule(ages: list[float | None]) -> None:
    result = check_rows(table_of(len(ages), age=pa.array(ages, pa.float64())), COLUMNS, source="x")
    expected = [f"c{i}" for i, age in enumerate(ages) if age is not None and 0 <= age <= 120]
    assert result.good["customer"].to_pylist() == expected
    assert result.bad.num_rows == len(ages) - len(expected) == sum(result.reasons.values())


def test_a_row_with_two_faults_has_both_reasons_and_counts_in_both() -> None:
    result = checked(age=[130.0, 1.0, 1.0, 1.0], plan=["gold", "free", "gold", "free"])
    assert result.reasons == {"age: above max 120": 1, "plan: not in categories": 2}
    assert result.bad["_reason"].to_pylist() == [
        "age: above max 120; plan: not in categories",
        "plan: not in categories",
    ]


def test_bad_rows_keep_their_columns_as_found() -> None:
    table = table_of(2, age=[130.0, 1.0]).append_column("note", pa.array(["x", "y"]))
    bad = check_rows(table, COLUMNS, source="file:///raw/a.parquet").bad
    assert bad.column_names == [*table.column_names, "_reason", "_source"]
    assert bad["note"].to_pylist() == ["x"]
    assert bad["_source"].to_pylist() == ["file:///raw/a.parquet"]


def test_a_source_column_named_like_ours_gives_way() -> None:
    table = table_of(1, age=[130.0]).append_column("_reason", pa.array(["theirs"]))
    assert check_rows(table, COLUMNS, source="x").bad["_reason"].to_pylist() == ["age: above max 120"]


def test_a_column_in_several_chunks_with_dictionaries_of_their_own_is_one_column() -> None:
    table = table_of(4)
    chunks = pa.chunked_array(
        [pa.array(["free", "pro"]).dictionary_encode(), pa.array(["pro", "free"]).dictionary_encode()]
    )
    table = table.set_column(table.schema.get_field_index("plan"), "plan", chunks)
    assert check_rows(table, COLUMNS, source="x").good["plan"].to_pylist() == ["free", "pro", "pro", "free"]


def test_a_missing_column_is_named_with_the_file_and_what_is_there() -> None:
    schema = table_of(1).drop_columns(["age"]).schema
    with pytest.raises(SchemaError, match=r"a\.parquet: expected one column 'age', found only customer, day, visits"):
        check_schema(schema, COLUMNS, uri="a.parquet")


@pytest.mark.parametrize(
    ("column", "found", "expected"),
    [
        ("age", pa.string(), "expected float, int or decimal, found string"),
        ("visits", pa.string(), "expected int, or float with whole numbers, found string"),
        ("plan", pa.int64(), "expected string, found int64"),
        ("churned", pa.string(), "expected bool, or int or float with 0 and 1, found string"),
        ("day", pa.float64(), "expected timestamp, date, or string in ISO 8601, found double"),
    ],
)
def test_a_column_of_another_type_is_named_with_both_types(column: str, found: pa.DataType, expected: str) -> None:
    schema = table_of(1).schema
    index = schema.get_field_index(column)
    with pytest.raises(SchemaError, match=re.escape(f"a.parquet: column '{column}': {expected}")):
        check_schema(schema.set(index, pa.field(column, found)), COLUMNS, uri="a.parquet")


def test_a_column_that_is_there_twice_is_refused() -> None:
    table = table_of(1)
    with pytest.raises(SchemaError, match="expected one column 'age', found 2 of that name"):
        check_schema(table.append_column("age", table["age"]).schema, COLUMNS, uri="a.parquet")


def test_a_regression_label_may_be_any_finite_number() -> None:
    columns = (Column("y", "float", nullable=True, feature=False),)
    result = check_rows(pa.table({"y": [1.5, None, float("nan"), -7.0]}), columns, source="x")
    assert (result.good["y"].to_pylist(), result.reasons) == ([1.5, None, -7.0], {"y: not finite": 1})
