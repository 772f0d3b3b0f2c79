"""One text for one JSON value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.errors import StoreError
from mlops_ray.store.canonical import canonical, decoded

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_a_value_comes_back_from_its_text(value: object) -> None:
    assert decoded(canonical(value)) == value


@given(JSON)
def test_the_text_of_a_decoded_text_is_the_same_text(value: object) -> None:
    text = canonical(value)
    assert canonical(decoded(text)) == text


@given(st.dictionaries(st.integers(), st.integers(), max_size=20))
def test_number_keys_sort_as_the_strings_they_become(value: dict[int, int]) -> None:
    text = canonical(value)
    assert canonical(decoded(text)) == text


@given(st.dictionaries(st.text(), st.integers()))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert canonical(dict(reversed(value.items()))) == canonical(value)


def test_the_text_is_ascii_so_that_every_database_holds_it() -> None:
    assert canonical({"b": "\x00é", "a": (1, 2)}) == '{"a":[1,2],"b":"\\u0000\\u00e9"}'


def test_a_long_wrong_value_is_shortened_in_the_message() -> None:
    with pytest.raises(StoreError) as caught:
        canonical(["x" * 1000, float("nan")])
    assert len(str(caught.value)) < 250


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(StoreError, match=r"expected JSON in the store, found '\{oops'"):
        decoded("{oops")
