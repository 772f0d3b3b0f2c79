import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.errors import SchemaError
from mlops_ray.model import InputColumn, Signature, encode
from mlops_ray.spec import FeatureType
from tests.model.conftest import SIGNATURE

ROW: dict[str, Any] = {"tenure": 5, "charges": 70.5, "paperless": True, "contract": "one year"}


def table(**changes: Any) -> pa.Table:
    return pa.table({name: [value] for name, value in (ROW | changes).items()})


def one(kind: FeatureType, values: pa.Array, categories: tuple[str, ...] = ()) -> list[float]:
    signature = Signature((InputColumn("x", kind, True, categories),), "binary")
    return [float(v) for v in encode(signature, pa.table({"x": values}))[:, 0]]


def test_every_type_has_its_number() -> None:
    assert encode(SIGNATURE, table()).tolist() == [[5.0, 70.5, 1.0, 1.0]]


def test_columns_are_found_by_name_and_others_ignored() -> None:
    shuffled = table(extra="?").select(["extra", "contract", "paperless", "charges", "tenure"])
    assert encode(SIGNATURE, shuffled).tolist() == [[5.0, 70.5, 1.0, 1.0]]


def test_an_unseen_category_gets_the_code_after_the_last() -> None:
    assert encode(SIGNATURE, table(contract="weekly"))[0, 3] == 3.0


@pytest.mark.parametrize("name", list(ROW))
def test_null_becomes_nan(name: str) -> None:
    typed = pa.table(
        {
            "tenure": pa.array([None if name == "tenure" else 5], pa.int64()),
            "charges": pa.array([None if name == "charges" else 1.0], pa.float64()),
            "paperless": pa.array([None if name == "paperless" else False], pa.bool_()),
            "contract": pa.array([None if name == "contract" else "monthly"], pa.string()),
        }
    )
    assert np.isnan(encode(SIGNATURE, typed)[0]).tolist() == [name == other for other in ROW]


@pytest.mark.parametrize("kind", ["float", "int", "bool", "category"])
def test_a_column_of_nulls_without_a_type_becomes_nan(kind: FeatureType) -> None:
    assert all(math.isnan(v) for v in one(kind, pa.nulls(2), ("a",)))


@pytest.mark.parametrize("text", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_every_kind_of_text_encodes_alike(text: pa.DataType) -> None:
    codes = one("category", pa.array(["b", "a", None, "c"], pa.string()).cast(text), ("a", "b"))
    assert codes[:2] + codes[3:] == [1.0, 0.0, 2.0]
    assert math.isnan(codes[2])


@pytest.mark.parametrize(
    "number", [pa.int8(), pa.uint16(), pa.int64(), pa.float32(), pa.float64(), pa.decimal128(6, 2)]
)
def test_a_float_takes_every_kind_of_number(number: pa.DataType) -> None:
    assert one("float", pa.array([1, 2], pa.int8()).cast(number)) == [1.0, 2.0]


def test_an_int_takes_whole_floats_as_pandas_makes_them_of_gaps() -> None:
    values = one("int", pa.array([1.0, None, 3.0]))
    assert values[::2] == [1.0, 3.0]
    assert math.isnan(values[1])


def test_an_int_refuses_a_fraction_and_names_its_row() -> None:
    with pytest.raises(SchemaError, match=r"'x': expected int, found 1.5 in row 1"):
        one("int", pa.array([1.0, 1.5]))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("float", pa.array(["1"])),
        ("float", pa.array([True])),
        ("int", pa.array(["1"])),
        ("bool", pa.array([1])),
        ("category", pa.array([1])),
    ],
)
def test_a_column_of_another_type_is_named_with_both_types(kind: FeatureType, values: pa.Array) -> None:
    with pytest.raises(SchemaError, match=f"'x': expected {kind}, found {values.type}"):
        one(kind, values, ("1",))


def test_a_missing_column_is_named_with_what_was_found() -> None:
    with pytest.raises(SchemaError, match=r"'contract' \(category\) is missing; found tenure, charges, paperless"):
        encode(SIGNATURE, table().drop_columns(["contract"]))


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_the_matrix_is_c_contiguous_float64(rows: int) -> None:
    matrix = encode(SIGNATURE, pa.concat_tables([table()] * 3).slice(0, rows))
    assert (matrix.shape, str(matrix.dtype), matrix.flags.c_contiguous) == ((rows, 4), "float64", True)


@given(st.lists(st.none() | st.sampled_from(["a", "b", "c", "d"]), min_size=1), st.integers(1, 5))
def test_chunks_do_not_change_the_codes(values: list[str | None], size: int) -> None:
    chunks = [pa.array(values[i : i + size], pa.string()) for i in range(0, len(values), size)]
    signature = Signature((InputColumn("x", "category", True, ("a", "b", "c")),), "binary")
    encoded = encode(signature, pa.table({"x": pa.chunked_array(chunks)}))[:, 0]
    expected = [math.nan if v is None else float("abcd".index(v)) for v in values]
    np.testing.assert_array_equal(encoded, expected)
