"""A classifier tells samples apart where single columns do not, and does not where there is nothing."""

import numpy as np
import pytest

from mlops_ray.drift import block_auc, domain_check
from mlops_ray.errors import ValidationError


def test_samples_of_one_distribution_are_not_told_apart() -> None:
    random = np.random.default_rng(0)
    found = [domain_check(random.normal(size=(400, 5)), random.normal(size=(300, 5)), seed=i) for i in range(20)]
    assert max(check.auc for check in found) < 0.6
    assert min(check.p_value for check in found) > 1e-3


def test_a_correlation_that_turned_around_is_found() -> None:
    random = np.random.default_rng(1)
    sides = [random.multivariate_normal([0, 0], [[1, r], [r, 1]], size=500) for r in (0.8, -0.8)]
    check = domain_check(sides[0], sides[1], seed=0)
    assert check.auc > 0.75
    assert check.p_value < 1e-6


def test_values_that_went_missing_are_found() -> None:
    random = np.random.default_rng(2)
    window = random.normal(size=(400, 3))
    window[random.uniform(size=400) < 0.5, 1] = np.nan
    assert domain_check(random.normal(size=(400, 3)), window, seed=0).auc > 0.7


def test_the_same_seed_gives_the_same_answer() -> None:
    random = np.random.default_rng(3)
    a, b = random.normal(size=(200, 3)), random.normal(size=(200, 3))
    assert domain_check(a, b, seed=4) == domain_check(a, b, seed=4)


def test_blocks_of_rows_that_wander_are_told_apart() -> None:
    random = np.random.default_rng(4)
    still = random.normal(size=(4000, 3))
    steady, moving = block_auc(still, seed=0), block_auc(still + np.linspace(0, 3, 4000)[:, None], seed=0)
    assert steady is not None
    assert moving is not None
    assert steady < 0.65
    assert moving > 0.8
    assert block_auc(random.normal(size=(300, 3)), seed=0) is None


@pytest.mark.parametrize(("n", "m", "width"), [(99, 200, 3), (200, 99, 3), (200, 200, 4)])
def test_samples_that_cannot_be_compared_are_refused(n: int, m: int, width: int) -> None:
    with pytest.raises(ValidationError, match="expected"):
        domain_check(np.zeros((n, 3)), np.zeros((m, width)), seed=0)
