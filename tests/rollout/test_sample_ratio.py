"""A split that is right is left alone, and units that are lost on one side are missed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.errors import RolloutError
from mlops_ray.rollout import RatioCheck, sample_ratio_mismatch


def first_mismatch(share: float, *, lost: float, alpha: float, looks: int, seed: int) -> float:
    """Units seen until a mismatch, 10,000 a look, when this part of the canary's is lost; infinite without one."""
    random = np.random.default_rng(seed)
    canary, champion = 0, 0
    for _ in range(looks):
        ours = int(random.binomial(10_000, share))
        canary += int(random.binomial(ours, 1 - lost))
        champion += 10_000 - ours
        if sample_ratio_mismatch(canary, champion, share, alpha).mismatch:
            return canary + champion
    return math.inf


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_right_split_is_called_wrong_no_more_often_than_alpha_at_all_looks_together(share: float) -> None:
    runs, alpha = 400, 0.05
    wrong = np.isfinite([first_mismatch(share, lost=0, alpha=alpha, looks=60, seed=seed) for seed in range(runs)])
    assert wrong.mean() <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def test_one_percent_of_lost_canary_units_is_found_in_some_hundred_thousand() -> None:
    found = [first_mismatch(0.5, lost=0.01, alpha=1e-4, looks=200, seed=seed) for seed in range(40)]
    assert np.median(found) < 1_200_000
    assert max(found) < 2_000_000


def test_a_tenth_of_lost_units_is_found_in_some_thousand() -> None:
    assert sample_ratio_mismatch(4_500, 5_000, 0.5).mismatch
    assert "47.37% where 50.00% should be: the split is not" in sample_ratio_mismatch(4_500, 5_000, 0.5).message


def test_no_units_are_no_evidence() -> None:
    check = sample_ratio_mismatch(0, 0, 0.3)
    assert (check.e_value, check.mismatch, check.observed, check.expected) == (1.0, False, 0.0, 0.3)


@pytest.mark.parametrize("share", [0.01, 0.5])
@pytest.mark.parametrize(("canary", "champion"), [(0, 0), (3, 40), (500, 500)])
def test_evidence_is_one_on_average_over_the_next_unit_of_a_right_split(
    share: float, canary: int, champion: int
) -> None:
    now = sample_ratio_mismatch(canary, champion, share).e_value
    met = sample_ratio_mismatch(canary + 1, champion, share).e_value
    not_met = sample_ratio_mismatch(canary, champion + 1, share).e_value
    assert share * met + (1 - share) * not_met == pytest.approx(now)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0.001, 0.999))
def test_any_counts_give_a_finite_answer(canary: int, champion: int, share: float) -> None:
    check = sample_ratio_mismatch(canary, champion, share)
    assert isinstance(check, RatioCheck)
    assert math.isfinite(check.e_value)


@pytest.mark.parametrize(("canary", "champion", "share"), [(-1, 0, 0.5), (0, -1, 0.5), (1, 1, 0.0), (1, 1, 1.0)])
def test_counts_and_shares_that_cannot_be_are_refused(canary: int, champion: int, share: float) -> None:
    with pytest.raises(RolloutError, match="sample ratio"):
        sample_ratio_mismatch(canary, champion, share)
