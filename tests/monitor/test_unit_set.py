import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.monitor.unit_set import UnitSet, hashes_of


def test_a_unit_is_new_once() -> None:
    seen = UnitSet()
    assert seen.first(hashes_of(["ada", "bob", "ada"])).tolist() == [True, True, False]
    assert seen.first(hashes_of(["bob", "cid"])).tolist() == [False, True]
    assert len(seen) == 3


def test_nobody_is_fine() -> None:
    assert UnitSet().first(hashes_of([])).tolist() == []


def test_a_hash_is_the_same_in_every_process() -> None:
    assert hashes_of(["ada"])[0] == 0x2705162143DAB015


def test_names_that_are_no_text_have_hashes_too() -> None:
    assert len(hashes_of(["\ud800", ""])) == 2


def test_a_full_set_takes_in_nobody_any_more() -> None:
    seen = UnitSet(capacity=2)
    assert seen.first(hashes_of(["ada", "bob"])).all()
    assert seen.full
    assert not seen.first(hashes_of(["cid"])).any()
    assert len(seen) == 2


def test_thousands_of_units_are_told_apart() -> None:
    seen, names = UnitSet(), [f"u{i}" for i in range(30_000)]
    assert sum(int(seen.first(hashes_of(names[i : i + 1000])).sum()) for i in range(0, 30_000, 1000)) == 30_000
    assert not seen.first(hashes_of(names)).any()


@given(batches=st.lists(st.lists(st.integers(0, 40), max_size=12), max_size=12))
def test_it_agrees_with_a_set(batches: list[list[int]]) -> None:
    seen, known = UnitSet(), set[int]()
    for batch in batches:
        expected = []
        for unit in batch:
            expected.append(unit not in known)
            known.add(unit)
        assert seen.first(np.array(batch, dtype=np.uint64)).tolist() == expected
