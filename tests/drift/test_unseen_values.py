import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.drift import UnseenValues
from mlops_ray.errors import ValidationError

Counts = dict[str, int]
COUNTS = st.dictionaries(st.text(max_size=8), st.integers(1, 50), max_size=12)


def of(*several: Counts) -> UnseenValues:
    values = UnseenValues()
    for counts in several:
        values.note("plan", counts)
    return values


@given(parts=st.lists(COUNTS, max_size=3))
def test_few_values_are_counted_exactly_however_they_are_merged(parts: list[Counts]) -> None:
    total: Counter[str] = Counter()
    merged = UnseenValues()
    for part in parts:
        total.update(part)
        merged.merge(UnseenValues.from_bytes(of(part).to_bytes()))
    expected = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    assert merged.frequent("plan", 100) == expected
    assert merged.distinct("plan") == len(total)
    assert merged.to_bytes() == b"" or UnseenValues.from_bytes(merged.to_bytes()).to_json() == merged.to_json()


def test_of_very_many_the_frequent_ones_and_about_their_number_are_known_in_little_room() -> None:
    stream = [f"rare-{i}" for i in range(20_000)] + ["Pro+"] * 6_000 + ["gold"] * 3_000
    random.Random(0).shuffle(stream)
    parts = [of(dict(Counter(stream[first::7]))) for first in range(7)]
    merged = UnseenValues()
    for part in parts:
        merged.merge(part)
    (first, count), (second, _) = merged.frequent("plan", 2)
    assert (first, second) == ("Pro+", "gold")
    assert 5_000 <= count <= 6_000
    assert merged.distinct("plan") == pytest.approx(20_002, rel=0.1)
    assert len(merged.to_bytes()) < 5_000
    assert merged.told("plan").startswith("'Pro+' (")
    assert of({f"user-{i}": 1 for i in range(5_000)}).told("plan").endswith(" values, none of them frequent")


def test_a_long_value_is_cut_and_half_a_character_does_no_harm() -> None:
    values = of({"x" * 5_000: 2, "\ud800": 1})
    assert values.frequent("plan") == [("x" * 64, 2), ("?", 1)]


def test_features_are_bounded() -> None:
    values, others = UnseenValues(), UnseenValues()
    for number in range(300):
        values.note(f"f{number}", {"a": 1})
        others.note(f"g{number}", {"a": 1})
    values.merge(others)
    assert len(values.to_json(most=1000)) == 200
    assert len(values.to_json()) == 50


def test_nothing_is_nothing() -> None:
    values = UnseenValues.from_bytes(b"")
    assert (bool(values), values.told("plan"), values.distinct("plan"), values.to_bytes()) == (False, "", 0, b"")


@pytest.mark.parametrize("cut", [5, 20, -3])
def test_damaged_bytes_are_refused(cut: int) -> None:
    with pytest.raises(ValidationError, match="expected sketches of unseen values"):
        UnseenValues.from_bytes(of({"a": 1, "b": 2}).to_bytes()[:cut])
