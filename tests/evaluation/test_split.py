"""Splits depend on what rows are, not on where they lie or which process asks."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mlops_ray.errors import ValidationError
from mlops_ray.evaluation import hashed_fraction, holdout_mask, newest_mask

KEYS = [f"customer-{i}" for i in range(100_000)]


@given(st.lists(st.text(), max_size=20))
def test_a_fraction_depends_on_the_key_alone(keys: list[str]) -> None:
    fractions = hashed_fraction(keys)
    assert fractions.shape == (len(keys),)
    assert ((fractions >= 0) & (fractions < 1)).all()
    assert fractions.tolist() == [float(hashed_fraction([key])[0]) for key in keys]


def test_fractions_are_uniform() -> None:
    counts, _ = np.histogram(hashed_fraction(KEYS), bins=100, range=(0, 1))
    assert ((counts - 1000) ** 2 / 1000).sum() < 160


def test_another_process_splits_alike() -> None:
    code = "from mlops_ray.evaluation import hashed_fraction; print(hashed_fraction(['a', 'b', 'ä']).tolist())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert answer.strip() == str(hashed_fraction(["a", "b", "ä"]).tolist())


def test_a_holdout_has_the_share_asked_for_and_grows_with_it() -> None:
    small, large = holdout_mask(KEYS, 0.1), holdout_mask(KEYS, 0.2)
    assert abs(small.mean() - 0.1) < 0.004
    assert not (small & ~large).any()


def test_another_salt_holds_out_other_rows() -> None:
    both = holdout_mask(KEYS, 0.2) & holdout_mask(KEYS, 0.2, salt="validation")
    assert abs(both.mean() - 0.04) < 0.004


@given(st.lists(st.integers(0, 9), min_size=2, max_size=40), st.floats(0.05, 0.95))
def test_the_newest_rows_are_newer_than_all_others_and_both_sides_have_rows(times: list[int], fraction: float) -> None:
    moments = np.array(times)
    if len(set(times)) < 2:
        with pytest.raises(ValidationError, match="two moments"):
            newest_mask(moments, fraction)
        return
    newest = newest_mask(moments, fraction)
    assert newest.any()
    assert not newest.all()
    assert moments[newest].min() > moments[~newest].max()


def test_the_newest_fraction_is_exact_where_times_differ() -> None:
    times = np.datetime64("2026-01-01") + np.random.default_rng(0).permutation(1000).astype("timedelta64[h]")
    assert newest_mask(times, 0.2).sum() == 200


@pytest.mark.parametrize("times", [np.array([1.0, np.nan]), np.array(["2026-01-01", "NaT"], dtype="datetime64[s]")])
def test_a_missing_time_is_refused(times: NDArray[Any]) -> None:
    with pytest.raises(ValidationError, match="found 1 without"):
        newest_mask(times, 0.5)
