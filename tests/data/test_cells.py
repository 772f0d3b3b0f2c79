"""Python values to columns."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from mlops_ray.data.cells import column_of, table_of_cells
from mlops_ray.data.column import Kind
from mlops_ray.data.conversion import convert


@pytest.mark.parametrize(
    ("kind", "cells", "expected"),
    [
        ("float", [1, 2.5, None], [1.0, 2.5, None]),
        ("float", [Decimal("1.5"), None], [1.5, None]),
        ("float", [1, "x", "2"], [1.0, None, 2.0]),
        ("float", [True, 1.5], [None, 1.5]),
        ("int", [Decimal("7.00"), 2**70], [7, None]),
        ("category", ["007", 7, None], ["007", "7", None]),
        ("category", [7, 8], ["7", "8"]),
        ("text", [7, "a"], ["7", "a"]),
        ("bool", [True, None, False], [True, None, False]),
        ("flag", [True, 0, "x"], [1, 0, None]),
        ("time", [datetime(2024, 1, 1, tzinfo=UTC), "nothing"], [datetime(2024, 1, 1, tzinfo=UTC), None]),
        ("int", [None, None], [None, None]),
        ("float", [{"a": 1}, 2.0], [None, 2.0]),
    ],
)
def test_cells_of_any_type_come_out_as_the_spec_asks_or_null(kind: Kind, cells: list[Any], expected: list[Any]) -> None:
    assert convert(column_of(cells, kind), kind).values.to_pylist() == expected


def test_a_number_in_a_category_does_not_depend_on_its_batch() -> None:
    assert column_of([7], "category").to_pylist() + column_of(["x", 7], "category").to_pylist() == ["7", "x", "7"]


def test_columns_beyond_the_spec_become_text() -> None:
    table = table_of_cells({"age": [1.5], "note": [{"a": [1]}]}, {"age": "float"})
    assert table.schema == pa.schema({"age": pa.float64(), "note": pa.string()})
    assert table["note"].to_pylist() == ['{"a": [1]}']
