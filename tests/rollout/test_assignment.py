"""Assignment is a function of unit, salt and share alone."""

import hashlib
import itertools
import subprocess
import sys

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlops_ray.rollout import BUCKETS, bucket, on_canary

SHARES = st.floats(0, 1)
SALT = "churn:3"
UNITS = [f"user-{i}" for i in range(100_000)]


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


def units_on_canary(share: float) -> frozenset[str]:
    return frozenset(unit for unit in UNITS if on_canary(unit, SALT, share))


@settings(max_examples=5, deadline=None)
@given(st.floats(0.001, 1))
@example(0.01)
@example(0.5)
def test_the_share_is_realised_over_100_000_units(share: float) -> None:
    realised = len(units_on_canary(share)) / len(UNITS)
    assert abs(realised - share) <= 4 * (share * (1 - share) / len(UNITS)) ** 0.5 + 0.5 / BUCKETS


@settings(max_examples=3, deadline=None)
@given(st.lists(SHARES, min_size=2, max_size=3))
def test_100_000_units_stay_on_the_canary_as_the_share_grows_and_leave_it_in_turn(shares: list[float]) -> None:
    growing = [units_on_canary(share) for share in sorted(shares)]
    assert all(fewer <= more for fewer, more in itertools.pairwise(growing))
    assert units_on_canary(sorted(shares)[0]) == growing[0]


def test_another_process_without_anything_running_assigns_100_000_units_alike() -> None:
    """Offline: from unit, salt and share alone, as an audit would do it."""
    code = (
        "import hashlib; from mlops_ray.rollout import on_canary; "
        f"said = ''.join(str(int(on_canary(f'user-{{i}}', {SALT!r}, 0.25))) for i in range({len(UNITS)})); "
        "print(hashlib.sha256(said.encode()).hexdigest())"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    said = "".join(str(int(on_canary(unit, SALT, 0.25))) for unit in UNITS)
    assert answer.strip() == hashlib.sha256(said.encode()).hexdigest()


def test_buckets_are_uniform() -> None:
    counts = np.bincount([bucket(f"user-{i}", "salt") // 100 for i in range(100_000)], minlength=100)
    statistic = ((counts - 1000) ** 2 / 1000).sum()
    assert statistic < 160  # chi-square of 99 degrees: 148 is the .999 quantile


def test_another_salt_shuffles_the_units_anew() -> None:
    units = [f"user-{i}" for i in range(20_000)]
    both = sum(on_canary(unit, "churn:3", 0.1) and on_canary(unit, "churn:4", 0.1) for unit in units)
    assert 120 < both < 280  # 200 expected when independent


def test_a_unit_with_a_lone_surrogate_has_a_bucket() -> None:
    assert 0 <= bucket("\ud800", "s") < BUCKETS
