"""Assignment is a function of unit, salt and share alone."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.rollout import BUCKETS, bucket, on_canary

SHARES = st.floats(0, 1)


@given(st.text(), st.text(), SHARES, SHARES)
def test_a_unit_on_the_canary_stays_on_it_at_every_larger_share(unit: str, salt: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert on_canary(unit, salt, large) or not on_canary(unit, salt, small)


@given(st.text(), st.text())
def test_nobody_is_on_a_canary_without_share_and_everybody_on_one_with_all(unit: str, salt: str) -> None:
    assert not on_canary(unit, salt, 0.0)
    assert on_canary(unit, salt, 1.0)


@given(st.text(), st.text())
def test_a_bucket_is_in_range_and_sticky(unit: str, salt: str) -> None:
    assert 0 <= bucket(unit, salt) < BUCKETS
    assert bucket(unit, salt) == bucket(unit, salt)


@pytest.mark.parametrize("share", [0.01, 0.07, 0.25, 0.5])
def test_the_share_is_realised_over_many_units(share: float) -> None:
    units = 100_000
    realised = sum(on_canary(f"user-{i}", "churn:3", share) for i in range(units)) / units
    assert abs(realised - share) < 4 * (share * (1 - share) / units) ** 0.5


def test_buckets_are_uniform() -> None:
    counts = np.bincount([bucket(f"user-{i}", "salt") // 100 for i in range(100_000)], minlength=100)
    statistic = ((counts - 1000) ** 2 / 1000).sum()
    assert statistic < 160  # chi-square of 99 degrees: 148 is the .999 quantile


def test_another_salt_shuffles_the_units_anew() -> None:
    units = [f"user-{i}" for i in range(20_000)]
    both = sum(on_canary(unit, "churn:3", 0.1) and on_canary(unit, "churn:4", 0.1) for unit in units)
    assert 120 < both < 280  # 200 expected when independent


def test_another_process_assigns_alike() -> None:
    code = "from mlops_ray.rollout import bucket; print([bucket(f'u{i}', 's') for i in range(50)])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert answer.strip() == str([bucket(f"u{i}", "s") for i in range(50)])


def test_a_unit_with_a_lone_surrogate_has_a_bucket() -> None:
    assert 0 <= bucket("\ud800", "s") < BUCKETS
