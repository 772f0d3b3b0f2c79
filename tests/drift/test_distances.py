"""Distances: 0 on equal data, near the exact ones, and as noisy as their noise quantiles say."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import jensenshannon

from mlops_ray.drift import Column, build_reference, fold
from mlops_ray.drift.column import Kind
from mlops_ray.drift.distances import js, ks, noise_js, noise_ks, noise_psi, p_value, psi, psi_groups

Counts = NDArray[np.int64]
KINDS: list[Kind] = ["numeric", "categorical"]
COUNTS = arrays.arrays(np.int64, 8, elements=st.integers(0, 400))


@pytest.mark.parametrize("kind", KINDS)
@given(counts=COUNTS, times=st.integers(1, 50))
def test_equal_shares_are_at_distance_0_and_not_significant(kind: Kind, counts: Counts, times: int) -> None:
    groups = psi_groups(counts, kind)
    found = ks(counts, counts * times, kind), js(counts, counts * times, groups), psi(counts, counts * times, groups)
    assert found == pytest.approx((0, 0, 0), abs=1e-9)
    assert p_value(counts, counts * times, kind) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", KINDS)
@given(a=COUNTS, b=COUNTS)
def test_distances_are_symmetric_and_in_their_ranges(kind: Kind, a: Counts, b: Counts) -> None:
    assume(a.sum() > 0 and b.sum() > 0)
    groups = psi_groups(a, kind)
    found = ks(a, b, kind), js(a, b, groups), psi(a, b, groups)
    assert found == pytest.approx((ks(b, a, kind), js(b, a, groups), psi(b, a, groups)), abs=1e-9)
    assert all(-1e-12 <= value <= limit + 1e-12 for value, limit in zip(found, (1, 1, 100), strict=True))
    assert 0 <= p_value(a, b, kind) <= 1


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("family", [stats.norm(), stats.expon(), stats.t(3)], ids=["normal", "exponential", "t3"])
def test_the_binned_ks_is_within_a_hair_of_the_exact_one_and_never_above(family: Any, shift: float) -> None:
    reference, current = family.rvs(20_000, random_state=1), family.rvs(5_000, random_state=2) + shift
    built = build_reference([Column("x", "numeric")], reference[:, None])
    binned = ks(np.array(built.features[0].counts), fold(built, current[:, None]).counts[0], "numeric")
    exact = stats.ks_2samp(reference, current).statistic
    # wider where the shifted density begins with a jump inside a bin: half a bin's share, 1/128
    assert exact - (0.0035 if shift < 1 else 1 / 128) <= binned <= exact + 1e-12


def test_js_is_the_square_of_scipys_distance_in_bits() -> None:
    a, b = np.array([30, 50, 20, 0]), np.array([10, 10, 60, 5])
    assert js(a, b, np.arange(4)) == pytest.approx(jensenshannon(a, b, base=2) ** 2, rel=1e-12)


def test_psi_is_the_textbook_sum_when_no_cell_is_small() -> None:
    a, b = np.array([300_000, 500_000, 200_000]), np.array([200_000, 500_000, 300_000])
    assert psi(a, b, np.arange(3)) == pytest.approx(0.2 * np.log(1.5), rel=1e-4)


def test_psi_of_a_cell_empty_on_one_side_is_finite_and_large() -> None:
    assert 1 < psi(np.array([1_000_000, 0]), np.array([140, 60]), np.arange(2)) < 5


def test_two_strange_rows_of_200_move_psi_little() -> None:
    assert psi(np.array([1_000_000, 0]), np.array([198, 2]), np.arange(2)) < 0.05


def test_groups_are_16_at_most_apart_from_missing() -> None:
    groups = psi_groups(np.full(65, 100), "numeric")
    assert (groups.max() + 1, len(groups)) == (17, 65)
    assert np.bincount(groups).tolist() == [4] * 16 + [1]


def test_missing_values_move_the_ks_by_their_share() -> None:
    assert ks(np.array([50, 50, 0]), np.array([35, 35, 30]), "numeric") == pytest.approx(0.3)


def test_the_ks_of_categories_does_not_depend_on_their_order() -> None:
    a, b = np.array([50, 30, 20]), np.array([30, 30, 40])
    assert ks(a, b, "categorical") == ks(a[[0, 2, 1]], b[[0, 2, 1]], "categorical") == pytest.approx(0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_p_values_are_near_uniform_or_conservative_without_drift(kind: Kind) -> None:
    random = np.random.default_rng(0)
    shares = np.append(np.full(64, 0.98 / 64), 0.02)
    found = np.array(
        [p_value(random.multinomial(5000, shares), random.multinomial(400, shares), kind) for _ in range(2000)]
    )
    for level in (0.01, 0.05, 0.2):
        assert (found < level).mean() < level + 3.5 * np.sqrt(level * (1 - level) / 2000)
    assert (found < 0.2).mean() > 0.1


def test_rare_categories_do_not_make_a_difference_significant() -> None:
    shares = np.append([0.9], np.full(100, 0.001))
    random = np.random.default_rng(0)
    found = [
        p_value(random.multinomial(20_000, shares), random.multinomial(300, shares), "categorical") for _ in range(500)
    ]
    assert np.mean(np.array(found) < 0.01) < 0.03


def test_a_category_never_seen_before_is_significant_when_it_is_frequent() -> None:
    assert p_value(np.array([10_000, 0, 0]), np.array([0, 200, 0]), "categorical") < 1e-12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "m"), [(5000, 300), (2000, 2000)])
def test_noise_quantiles_are_exceeded_as_rarely_as_they_say(kind: Kind, n: int, m: int) -> None:
    random = np.random.default_rng(2)
    shares = np.full(17, 1 / 17)
    level, runs = 0.02, 1500
    limits = (
        noise_ks(n, m, level, kind=kind, cells=17),
        noise_js(n, m, level, cells=17),
        noise_psi(n, m, level, cells=17),
    )
    above = np.zeros(3)
    for _ in range(runs):
        a, b = random.multinomial(n, shares), random.multinomial(m, shares)
        above += np.array((ks(a, b, kind), js(a, b, np.arange(17)), psi(a, b, np.arange(17)))) > limits
    assert (above / runs <= level + 3.5 * np.sqrt(level * (1 - level) / runs)).all()
    assert (above[1:] / runs >= level / 3).all()


def test_empty_counts_are_not_significant() -> None:
    assert p_value(np.array([10, 0]), np.array([0, 0]), "numeric") == 1.0
