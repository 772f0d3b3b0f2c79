import contextlib
import struct
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_ray.errors import RequestError
from mlops_ray.model import InputColumn, Signature, encode
from mlops_ray.serve.arrow_rows import arrow_rows, arrow_stream
from mlops_ray.serve.request import Rows
from tests.serve.samples import SIGNATURE

AMOUNT = pa.array([1.5, 2.0])
ROOM = 10**6


def stream(columns: pa.Table | dict[str, pa.Array], *, batches: int = 1, compression: str | None = None) -> bytes:
    """The columns as an IPC stream of so many record batches."""
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=max(1, -(-table.num_rows // batches)))
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read(columns: pa.Table | dict[str, pa.Array] | bytes, unit: str | None = None, room: int = ROOM) -> Rows:
    content = columns if isinstance(columns, bytes) else stream(columns)
    return arrow_rows(content, SIGNATURE, unit=unit, max_matrix_bytes=room)


def refused(columns: Any, room: int = ROOM) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read(columns, room=room)
    return caught.value


def test_columns_make_a_matrix_in_the_order_of_the_signature() -> None:
    columns = {"plan": pa.array(["paid", "gold"]), "member": pa.array([True, None]), "amount": AMOUNT}
    matrix = read(columns).matrix
    np.testing.assert_array_equal(matrix, [[1.5, np.nan, 1, 1], [2, np.nan, np.nan, 2]])
    assert matrix.flags.c_contiguous


@pytest.mark.parametrize(
    ("column", "values", "encoded"),
    [
        ("amount", pa.array([1, 2], pa.uint8()), [1, 2]),
        ("amount", pa.array([1.5, 2.5], pa.float16()), [1.5, 2.5]),
        ("amount", pa.array([Decimal("1.5"), Decimal("2")], pa.decimal128(5, 2)), [1.5, 2]),
        ("visits", pa.array([3, None], pa.int8()), [3, np.nan]),
        ("visits", pa.array([3.0, float("nan")]), [3, np.nan]),
        ("visits", pa.nulls(2), [np.nan, np.nan]),
        ("plan", pa.array(["paid", None]).dictionary_encode(), [1, np.nan]),
        ("plan", pa.array(["gold", "free"], pa.large_string()), [2, 0]),
        ("plan", pa.array(["gold", "free"], pa.string_view()), [2, 0]),
    ],
    ids=str,
)
def test_a_column_may_be_of_any_type_that_holds_the_same_values(
    column: str, values: pa.Array, encoded: list[float]
) -> None:
    place = SIGNATURE.names.index(column)
    np.testing.assert_array_equal(read({"amount": AMOUNT, column: values}).matrix[:, place], encoded)


@pytest.mark.parametrize(
    ("columns", "path", "says"),
    [
        ({"visits": pa.array([1, 2])}, "amount", "missing column 'amount'"),
        ({"amount": AMOUNT, "zz": AMOUNT}, "zz", "unknown column 'zz'; expected amount, visits, member, plan"),
        (pa.Table.from_arrays([AMOUNT, AMOUNT], ["amount", "amount"]), "amount", "there twice"),
        ({"amount": pa.array(["1", "2"])}, "amount", "expected floats, integers or decimals, found string"),
        ({"amount": pa.array([1, 2], pa.timestamp("s"))}, "amount", "found timestamp"),
        ({"amount": pa.array([[1.0], [2.0]])}, "amount", "found list"),
        ({"amount": pa.array([1.0, None])}, "amount", "null or NaN"),
        ({"amount": pa.array([1.0, float("nan")])}, "amount", "null or NaN"),
        ({"amount": pa.nulls(2)}, "amount", "null or NaN"),
        ({"amount": pa.array([1.0, float("inf")])}, "amount", "infinite"),
        ({"amount": AMOUNT, "visits": pa.array([1.0, 1.5])}, "visits", "1.5"),
        ({"amount": AMOUNT, "visits": pa.array([1, 2**60])}, "visits", "2**53"),
        ({"amount": AMOUNT, "visits": pa.array([True, False])}, "visits", "expected integers"),
        ({"amount": AMOUNT, "member": pa.array([1, 0])}, "member", "expected bools, found int64"),
        ({"amount": AMOUNT, "plan": pa.array([1, 2])}, "plan", "expected strings"),
        ({"amount": AMOUNT, "plan": pa.array([1, 2]).dictionary_encode()}, "plan", "found dictionary"),
        ({"amount": AMOUNT, "customer": pa.array([1.5, 2.5])}, "customer", "text or a whole number, found double"),
        ({"amount": AMOUNT, "customer": pa.array(["x" * 300, "y"])}, "customer", "at most 256 characters"),
    ],
)
def test_a_column_that_is_not_as_expected_is_named(columns: Any, path: str, says: str) -> None:
    error = refused(columns)
    assert (error.status, error.path) == (422, f"$.columns[{path}]")
    assert says in error.message


def test_the_unit_is_that_of_the_header_before_that_of_the_first_row() -> None:
    columns = {"amount": AMOUNT, "customer": pa.array([7, 8])}
    assert read(columns).unit == "7"
    assert read(columns, unit="c1").unit == "c1"
    assert read({"amount": AMOUNT}).unit is None
    assert read({"amount": AMOUNT, "customer": pa.array(["c7", "c8"]).dictionary_encode()}).unit == "c7"


def test_a_signature_without_unit_takes_none() -> None:
    signature = Signature((InputColumn("amount", "float", nullable=False),), "regression")
    with pytest.raises(RequestError, match="unknown column 'customer'"):
        arrow_rows(stream({"amount": AMOUNT, "customer": AMOUNT}), signature, unit=None, max_matrix_bytes=ROOM)


@pytest.mark.parametrize("columns", [{"amount": AMOUNT[:0]}, pa.table({"amount": AMOUNT}).slice(2)])
def test_a_stream_without_rows_is_refused(columns: Any) -> None:
    assert (refused(columns).status, refused(columns).message) == (422, "expected at least one row, found none")


def test_a_stream_may_come_in_many_batches_with_dictionaries_of_their_own() -> None:
    plans = pa.chunked_array([pa.array(["free"]).dictionary_encode(), pa.array(["gold"]).dictionary_encode()])
    table = pa.table({"amount": AMOUNT, "plan": plans})
    assert read(stream(table, batches=2)).matrix[:, 3].tolist() == [0, 2]


def test_more_rows_than_the_matrix_has_room_for_are_too_large() -> None:
    error = refused({"amount": pa.array([1.0] * 40)}, room=39 * 4 * 8)
    assert error.status == 413
    assert "at most 39 rows of 4 columns" in error.message


def test_rows_that_take_no_space_in_the_body_are_counted_all_the_same() -> None:
    nothing = pa.Array.from_buffers(pa.null(), 2**31 - 1, [None])
    batch = pa.RecordBatch.from_arrays([nothing, nothing], names=["amount", "plan"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    assert refused(sink.getvalue().to_pybytes()).status == 413


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
@pytest.mark.parametrize(
    "columns", [{"amount": pa.array([0.0] * 5000)}, {"amount": AMOUNT, "plan": pa.array(["paid"] * 2)}]
)
def test_a_compressed_stream_is_refused_before_it_grows(columns: dict[str, pa.Array], compression: str) -> None:
    error = refused(stream(columns, compression=compression))
    assert error.status == 415
    assert "not compressed" in error.message


def test_a_compressed_dictionary_is_refused_too() -> None:
    plans = pa.array(["paid"] * 2).dictionary_encode()
    packed = stream({"amount": AMOUNT, "plan": plans}, compression="zstd")
    assert refused(packed).status == 415
    messages = list(pa.ipc.MessageReader.open_stream(packed))
    assert [message.type for message in messages] == ["schema", "dictionary", "record batch"]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xff\xff\xff", b"ARROW1\x00\x00", bytes(64), b"\xff" * 64])
def test_what_is_no_stream_is_a_bad_request(content: bytes) -> None:
    error = refused(content)
    assert error.status == 400
    assert "not a valid Arrow IPC stream" in error.message


def test_a_truncated_stream_is_a_bad_request() -> None:
    whole = stream({"amount": AMOUNT, "plan": pa.array(["paid", "free"])})
    assert {refused(whole[:size]).status for size in range(0, len(whole) - 64, 8)} <= {400, 422}


def _damaged(content: bytes, changes: Sequence[tuple[int, int]]) -> bytes:
    damaged = bytearray(content)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    return bytes(damaged)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_stream_is_read_or_refused_and_never_more_than_that(changes: list[tuple[int, int]]) -> None:
    columns = {
        "amount": AMOUNT,
        "plan": pa.array(["paid", None]),
        "customer": pa.array(["c1", "c2"]).dictionary_encode(),
        "member": pa.array([True, None]),
    }
    with contextlib.suppress(RequestError):
        assert read(_damaged(stream(columns), changes)).matrix.shape[1] == 4


def _replaced(content: bytes, before: bytes, after: bytes) -> bytes:
    assert content.count(before) == 1
    return content.replace(before, after)


def test_a_string_that_points_outside_its_data_is_a_bad_request() -> None:
    sound = stream({"amount": AMOUNT, "plan": pa.array(["paid", "free"])})
    assert refused(_replaced(sound, struct.pack("<3i", 0, 4, 8), struct.pack("<3i", 0, 4, 2**30))).status == 400


def test_a_dictionary_index_that_points_nowhere_is_a_bad_request() -> None:
    plans = pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int64()), pa.array(["paid", "free"]))
    sound = stream({"amount": AMOUNT, "plan": plans})
    assert refused(_replaced(sound, struct.pack("<2q", 1, 0), struct.pack("<2q", 1, 9))).status == 400


def test_an_answer_is_a_stream_whose_schema_says_who_answered() -> None:
    content = arrow_stream({"score": np.array([0.25, 0.75]), "label": np.array([0, 1])}, {"model_version": "3"})
    table = pa.ipc.open_stream(content).read_all()
    assert table.to_pydict() == {"score": [0.25, 0.75], "label": [0, 1]}
    assert table.schema.metadata == {b"model_version": b"3"}


@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.integers(-(2**53), 2**53),
            st.none() | st.booleans(),
            st.none() | st.sampled_from(["free", "paid", "ünseen"]),
        ),
        min_size=1,
        max_size=9,
    ),
    st.integers(1, 3),
)
def test_a_stream_reads_as_the_training_data_was_encoded(rows: list[tuple[Any, ...]], batches: int) -> None:
    types = [pa.float64(), pa.int64(), pa.bool_(), pa.string()]
    columns = [pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), types, strict=True)]
    table = pa.table(dict(zip(SIGNATURE.names, columns, strict=True)))
    np.testing.assert_array_equal(read(stream(table, batches=batches)).matrix, encode(SIGNATURE, table))
