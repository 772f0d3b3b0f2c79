"""The factors are supermartingales under their nulls; checked by summing over outcomes, not by simulation."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from mlops_ray.rollout.mixture import (
    EXCESS_GRID,
    RATIO_GRID,
    log_excess_factors,
    log_mean_exp,
    log_ratio_factors,
    log_share_process,
)


def expected_factors(
    canary: int, champion: int, rate: float, ratio: float, *, null_ratio: float, worse: bool
) -> list[float]:
    """Exact mean of each factor when bad events are independent with rates `rate` and `ratio * rate`."""
    means = [0.0] * len(RATIO_GRID)
    for x in range(canary + 1):
        for y in range(champion + 1):
            chance = binom.pmf(x, canary, rate * ratio) * binom.pmf(y, champion, rate)
            logs = log_ratio_factors(x, y, canary / (canary + champion), null_ratio=null_ratio, worse=worse)
            means = [mean + chance * math.exp(log) for mean, log in zip(means, logs, strict=True)]
    return means


@pytest.mark.parametrize("null_ratio", [1.0, 1.2])
@pytest.mark.parametrize("below", [1.0, 0.8, 0.3])
@pytest.mark.parametrize(("canary", "champion"), [(2, 9), (6, 6), (9, 2)])
@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_evidence_for_worse_does_not_grow_on_average_while_the_ratio_is_tolerated(
    canary: int, champion: int, rate: float, below: float, null_ratio: float
) -> None:
    means = expected_factors(canary, champion, rate, null_ratio * below, null_ratio=null_ratio, worse=True)
    assert max(means) <= 1 + 1e-12


@pytest.mark.parametrize("above", [1.0, 1.3, 1.9])
@pytest.mark.parametrize(("canary", "champion"), [(2, 9), (6, 6), (9, 2)])
@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_evidence_for_fine_does_not_grow_on_average_while_the_ratio_is_too_high(
    canary: int, champion: int, rate: float, above: float
) -> None:
    means = expected_factors(canary, champion, rate, 1.5 * above, null_ratio=1.5, worse=False)
    assert max(means) <= 1 + 1e-12


@pytest.mark.parametrize("share", [0.02, 0.05, 0.5, 1.0])
def test_evidence_for_a_low_share_does_not_grow_on_average_while_the_share_is_high(share: float) -> None:
    n = 40
    mean = sum(binom.pmf(bad, n, share) * math.exp(log_share_process(bad, n, null_share=0.02)) for bad in range(n + 1))
    assert mean <= 1 + 1e-12


@pytest.mark.parametrize("share", [0.0, 0.005, 0.02])
def test_evidence_for_a_high_share_does_not_grow_on_average_while_the_share_is_low(share: float) -> None:
    n, means = 40, [0.0] * len(EXCESS_GRID)
    for bad in range(n + 1):
        factors = log_excess_factors(bad, n, null_share=0.02)
        means = [
            mean + binom.pmf(bad, n, share) * math.exp(factor) for mean, factor in zip(means, factors, strict=True)
        ]
    assert max(means) <= 1 + 1e-12


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.99), st.floats(0, 1), st.booleans())
def test_a_copy_and_its_original_may_fail_together_as_they_like(
    rate: float, below: float, share: float, together: float, worse: bool
) -> None:
    """The exact mean factor of copies that are paired with champion requests, for any dependence within a pair."""
    null = 1.0 if worse else 1.5
    copy, original = (rate * below, rate) if worse else (rate, rate / null * below)
    both = max(0.0, copy + original - 1) + together * (min(copy, original) - max(0.0, copy + original - 1))
    chances = {(1, 1): both, (1, 0): copy - both, (0, 1): original - both}
    factors = {bad: log_ratio_factors(*bad, share, null_ratio=null, worse=worse) for bad in chances}
    alone = log_ratio_factors(0, 1, share, null_ratio=null, worse=worse)
    # originals that were not copied, as many as make the copies the `share` of all requests, on average
    others = (1 - share) / share - 1
    for j in range(len(RATIO_GRID)):
        mean = 1 + sum(chance * math.expm1(factors[bad][j]) for bad, chance in chances.items())
        assert mean * math.exp(others * original * math.expm1(alone[j])) <= 1 + 1e-9


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_block_with_one_side_only_says_nothing_about_the_ratio(share: float) -> None:
    assert set(log_ratio_factors(5, 5, share, null_ratio=1.0, worse=True)) == {0.0}


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=9))
def test_the_log_of_a_mean_lies_between_the_extremes(logs: list[float]) -> None:
    assert min(logs) - 1e-9 <= log_mean_exp(logs) <= max(logs) + 1e-9
