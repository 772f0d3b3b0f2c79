import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.errors import RequestError
from mlops_ray.model import InputColumn, Signature, encode
from mlops_ray.serve.request import Rows, RowsDecoder
from tests.serve.samples import SIGNATURE, record

DECODER = RowsDecoder(SIGNATURE, max_rows=5)
TYPES = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_(), "category": pa.string()}


def decode(content: Any, decoder: RowsDecoder = DECODER) -> Rows:
    return decoder.decode(content if isinstance(content, bytes) else json.dumps(content).encode())


def refused(content: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        decode(content)
    return caught.value


def test_a_record_becomes_a_row_in_the_order_of_the_signature() -> None:
    rows = decode({"records": [{"plan": "paid", "member": True, "visits": 3, "amount": 5}]})
    assert rows.matrix.tolist() == [[5.0, 3.0, 1.0, 1.0]]
    assert rows.matrix.dtype == np.float64
    assert rows.matrix.flags.c_contiguous


def test_a_nullable_field_may_be_null_or_left_out() -> None:
    matrix = decode({"records": [{"amount": 1.0, "visits": None}]}).matrix
    assert np.isnan(matrix[0, 1:]).all()


def test_a_category_that_training_did_not_see_has_a_code_of_its_own() -> None:
    assert decode({"records": [record(plan="gold")]}).matrix[0, 3] == 2.0


@pytest.mark.parametrize(
    ("content", "path", "says"),
    [
        ({"records": [{"visits": 3}]}, "$.records[0]", "amount"),
        ({"records": [record(), record(extra=1)]}, "$.records[1]", "unknown field `extra`"),
        ({"records": [record(amount="5")]}, "$.records[0].amount", "expected `float`, got `str`"),
        ({"records": [record(amount=None)]}, "$.records[0].amount", "got `null`"),
        ({"records": [record(amount=[1])]}, "$.records[0].amount", "got `array`"),
        ({"records": [record(visits=1.5)]}, "$.records[0].visits", "got `float`"),
        ({"records": [record(visits=10**30)]}, "$.records[0].visits", "<= 9007199254740992"),
        ({"records": [record(member=1)]}, "$.records[0].member", "got `int`"),
        ({"records": [record(plan=7)]}, "$.records[0].plan", "got `int`"),
        ({"records": [record(plan="x" * 5000)]}, "$.records[0].plan", "length <= 4096"),
        ({"records": [record(customer=1.5)]}, "$.records[0].customer", "got `float`"),
        ({"records": [record(customer="x" * 300)]}, "$.records[0].customer", "length <= 256"),
        ({"records": [record()], "request_id": "x" * 300}, "$.request_id", "length <= 256"),
        ({"records": [record()], "unit": True}, "$.unit", "got `bool`"),
        ({"records": [record()], "id": "a"}, "", "unknown field `id`"),
        ({"records": []}, "$.records", "at least one record"),
        ({"records": {}}, "$.records", "expected `array`"),
        ({}, "", "records"),
        ([1], "", "expected `object`, got `array`"),
        (b'{"records": [{"amount": 1e400}]}', "$.records[0].amount", "out of range"),
    ],
)
def test_a_field_that_is_not_as_expected_is_named(content: Any, path: str, says: str) -> None:
    error = refused(content)
    assert (error.status, error.path) == (422, path)
    assert says in error.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"records": [{"amount": NaN}]}',
        b'{"records": [{"amount": Infinity}]}',
        b"\xff\xfe",
        b'{"records": [{"amount": 1, "plan": "\xff"}]}',
        b'{"records": [{"amount": 1}]} and more',
    ],
)
def test_what_is_no_json_is_a_bad_request(body: bytes) -> None:
    error = refused(body)
    assert error.status == 400
    assert "not valid JSON" in error.message


def test_too_many_rows_are_too_large() -> None:
    error = refused({"records": [record()] * 6})
    assert (error.status, error.path) == (413, "$.records")
    assert "at most 5" in error.message
    assert "found 6" in error.message


@pytest.mark.parametrize("number", ["3.0", "3e0", "30e-1", "3"])
def test_a_whole_number_may_be_written_with_a_point(number: str) -> None:
    body = f'{{"records": [{{"amount": 1, "visits": {number}, "customer": {number}}}], "request_id": "r"}}'.encode()
    rows = decode(body)
    assert (rows.matrix[0, 1], rows.unit, rows.request_id) == (3.0, "3", "r")


@pytest.mark.parametrize("number", ["3.5", "1e300", "9007199254740994.0"])
def test_what_is_no_whole_number_all_the_same_is_refused_as_the_float_it_is(number: str) -> None:
    error = refused(f'{{"records": [{{"amount": 1, "visits": {number}}}]}}'.encode())
    assert (error.path, "got `float`" in error.message) == ("$.records[0].visits", True)


def test_reading_a_body_once_more_does_not_accept_what_else_is_wrong_with_it() -> None:
    error = refused({"records": [{"amount": "x", "visits": 3.0}]})
    assert error.path == "$.records[0].amount"


def test_names_that_are_no_identifiers_work() -> None:
    names = ("class", "1st amount", "a-b", "unit", "records", "f0", "ünï")
    inputs = tuple(InputColumn(name, "float", nullable=False) for name in names)
    decoder = RowsDecoder(Signature(inputs, "regression", unit="user id"), max_rows=2)
    content = {"records": [{name: i for i, name in enumerate(names)} | {"user id": 42}]}
    rows = decode(content, decoder)
    assert rows.matrix.tolist() == [[float(i) for i in range(len(names))]]
    assert rows.unit == "42"


def test_the_unit_is_that_of_the_request_before_that_of_the_first_record() -> None:
    records = [record(customer="c1"), record(customer="c2")]
    assert decode({"records": records}).unit == "c1"
    assert decode({"records": records, "unit": 7}).unit == "7"
    assert decode({"records": [record()]}).unit is None


def test_a_signature_without_unit_takes_none_in_a_record() -> None:
    decoder = RowsDecoder(Signature((InputColumn("a", "float", nullable=False),), "regression"), max_rows=2)
    assert decode({"records": [{"a": 1}]}, decoder).unit is None
    with pytest.raises(RequestError, match="unknown field"):
        decode({"records": [{"a": 1, "customer": "c"}]}, decoder)


RECORDS = st.lists(
    st.fixed_dictionaries(
        {"amount": st.floats(allow_nan=False, allow_infinity=False)},
        optional={
            "visits": st.none() | st.integers(-(2**53), 2**53),
            "member": st.none() | st.booleans(),
            "plan": st.none() | st.sampled_from(["free", "paid", "gold", ""]),
        },
    ),
    min_size=1,
    max_size=5,
)


@given(RECORDS)
def test_a_request_reads_as_the_training_data_was_encoded(records: list[dict[str, Any]]) -> None:
    columns = {c.name: pa.array([r.get(c.name) for r in records], TYPES[c.type]) for c in SIGNATURE.inputs}
    expected = encode(SIGNATURE, pa.table(columns))
    np.testing.assert_array_equal(decode({"records": records}).matrix, expected)
