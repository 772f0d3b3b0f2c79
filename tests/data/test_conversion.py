"""Types of raw files to types of the table: nothing is guessed, nothing is lost unseen."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.data.column import Kind
from mlops_ray.data.conversion import accepts, convert

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)


def problems(values: pa.Array, kind: Kind) -> list[tuple[str, list[int]]]:
    return [(what, np.flatnonzero(mask).tolist()) for what, mask in convert(values, kind).problems]


@pytest.mark.parametrize(
    ("kind", "found", "expected"),
    [
        ("float", pa.array([1, None, 3], pa.int32()), [1.0, None, 3.0]),
        ("float", pa.array([0.5], pa.float32()), [0.5]),
        ("float", pa.array([Decimal("1.25")]), [1.25]),
        ("int", pa.array([1, 2], pa.uint8()), [1, 2]),
        ("int", pa.array([1.0, None]), [1, None]),
        ("bool", pa.array([True, None]), [True, None]),
        ("bool", pa.array([0, 1], pa.int8()), [False, True]),
        ("category", pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        ("category", pa.array(["a", None], pa.large_string()), ["a", None]),
        ("flag", pa.array([True, False]), [1, 0]),
        ("flag", pa.array([1.0, 0.0, None]), [1, 0, None]),
        ("text", pa.array([17, 18]), ["17", "18"]),
        ("time", pa.array([datetime(2024, 2, 29, 12)]), [NOON]),
        ("time", pa.array([NOON], pa.timestamp("ns", tz="Europe/Berlin")), [NOON]),
        ("time", pa.array([date(2024, 2, 29)]), [datetime(2024, 2, 29, tzinfo=UTC)]),
        ("time", pa.array(["2024-02-29 12:00:00", None]), [NOON, None]),
        ("time", pa.array(["2024-02-29T13:00:00+01:00"]), [NOON]),
        ("time", pa.array(["2024-02-29T12:00:00", "2024-02-29T12:00:00Z"]), [NOON, NOON]),
        ("float", pa.nulls(2), [None, None]),
    ],
)
def test_a_value_of_an_accepted_type_is_kept(kind: Kind, found: pa.Array, expected: list[Any]) -> None:
    assert accepts(kind, found.type)
    converted = convert(found, kind)
    assert (converted.values.to_pylist(), converted.problems) == (expected, ())


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("float", pa.string()),
        ("int", pa.string()),
        ("int", pa.decimal128(10, 2)),
        ("float", pa.bool_()),
        ("bool", pa.string()),
        ("category", pa.int64()),
        ("category", pa.list_(pa.string())),
        ("flag", pa.string()),
        ("text", pa.float64()),
        ("time", pa.int64()),
        ("float", pa.timestamp("us")),
    ],
)
def test_a_type_that_would_need_guessing_is_not_accepted(kind: Kind, found: pa.DataType) -> None:
    assert not accepts(kind, found)


@pytest.mark.parametrize(
    ("kind", "found", "what"),
    [
        ("float", [1.0, float("nan"), float("inf"), None], ("not finite", [1, 2])),
        ("int", [1.0, 1.5, None], ("not a whole number", [1])),
        ("int", [2.0, 2.0**60], ("too large to be exact", [1])),
        ("float", [1, 2**53 + 1, -(2**60), None], ("too large to be exact", [1, 2])),
        ("bool", [0, 1, 2, None], ("not 0 or 1", [2])),
        ("flag", [0.0, 1.0, 0.5, float("nan")], ("not 0 or 1", [2, 3])),
        ("time", ["2024-02-29", "yesterday", None], ("not a time in ISO 8601", [1])),
        ("time", pa.array([0, 10**12, None], pa.timestamp("s")), ("not in the years 1 to 9999", [1])),
        ("time", pa.array([0, -(2**62)], pa.timestamp("us", tz="UTC")), ("not in the years 1 to 9999", [1])),
    ],
)
def test_a_value_that_would_be_changed_is_a_problem_and_null(
    kind: Kind, found: Any, what: tuple[str, list[int]]
) -> None:
    values = found if isinstance(found, pa.Array) else pa.array(found)
    assert problems(values, kind) == [what]
    assert all(convert(values, kind).values[i].as_py() is None for i in what[1])


def test_an_unsigned_number_beyond_int64_is_a_problem() -> None:
    assert problems(pa.array([1, 2**63], pa.uint64()), "int") == [("too large for int", [1])]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=1))
def test_every_int_either_survives_as_a_float_or_is_a_problem(found: list[int | None]) -> None:
    converted = convert(pa.array(found, pa.int64()), "float")
    wrong = np.zeros(len(found), dtype=bool)
    for _, mask in converted.problems:
        wrong |= mask
    for value, result, bad in zip(found, converted.values.to_pylist(), wrong, strict=True):
        assert result is None if bad or value is None else int(result) == value


@given(st.lists(st.one_of(st.none(), st.floats()), min_size=1))
def test_every_float_either_survives_as_an_int_or_is_a_problem(found: list[float | None]) -> None:
    converted = convert(pa.array(found, pa.float64()), "int")
    wrong = np.zeros(len(found), dtype=bool)
    for _, mask in converted.problems:
        wrong |= mask
    for value, result, bad in zip(found, converted.values.to_pylist(), wrong, strict=True):
        assert result is None if bad or value is None else float(result) == value
