"""Text to values, by the type of the spec."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.data.column import Kind
from mlops_ray.data.text import parse_text


def parsed(texts: list[str | None], kind: Kind) -> tuple[list[Any], list[tuple[str, list[int]]]]:
    values, problems = parse_text(pa.array(texts, pa.string()), kind)
    return values.to_pylist(), [(what, np.flatnonzero(mask).tolist()) for what, mask in problems]


@pytest.mark.parametrize(
    ("kind", "texts", "expected"),
    [
        ("float", ["1", " 2.5 ", "-1e3", None, "+4"], [1.0, 2.5, -1000.0, None, 4.0]),
        ("int", ["1", "007", "12.0", None, "+4", str(2**62)], [1, 7, 12, None, 4, 2**62]),
        ("bool", ["true", "F", "1", "no", None], [True, False, True, False, None]),
        ("flag", ["0", "1.0", "True", None, "N"], [0, 1, 1, None, 0]),
    ],
)
def test_text_becomes_what_the_spec_asks_for(kind: Kind, texts: list[str | None], expected: list[Any]) -> None:
    assert parsed(texts, kind) == (expected, [])


@pytest.mark.parametrize(
    ("kind", "text", "what"),
    [
        ("float", "abc", "not a number"),
        ("float", "", "not a number"),
        ("float", "1_000", "not a number"),
        ("float", "١", "not a number"),
        ("float", "NaN", "not finite"),
        ("float", "1e400", "not finite"),
        ("float", str(2**53 + 1), "too large to be exact"),
        ("int", "1.5", "not a whole number"),
        ("int", "0x10", "not a whole number"),
        ("int", str(2**63), "not a whole number"),
        ("int", "1e300", "not a whole number"),
        ("bool", "2", "not true or false"),
        ("flag", "maybe", "not 0 or 1"),
    ],
)
def test_a_cell_that_is_none_is_told_and_the_others_stay(kind: Kind, text: str, what: str) -> None:
    values, problems = parsed(["1", text, "0", None], kind)
    assert (problems, values[1]) == ([(what, [1])], None)
    assert [values[0], values[2], values[3]] == parsed(["1", "0", None], kind)[0]


_NUMBERS = st.one_of(
    st.floats().map(str),
    st.integers(-(2**64), 2**64).map(str),
    st.sampled_from(["+5", ".5", "5.", "1e5", "inf", "0x1"]),
)


@given(st.lists(_NUMBERS, min_size=1), st.sampled_from(["float", "int"]))
def test_a_value_does_not_depend_on_the_others_of_its_batch(texts: list[str], kind: Kind) -> None:
    together, _ = parsed([*texts, "no number"], kind)
    alone = [parsed([text], kind)[0][0] for text in texts]
    assert together == [*alone, None]
