"""The process over bins of scores: a supermartingale while both sides are alike, and quick to see what is not."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri
from scipy.stats import multinomial

from mlops_ray.rollout import ScoreEvidence

BINS = 10
EVEN = np.full(BINS, 1 / BINS)


def splits(units: int, bins: int) -> list[tuple[int, ...]]:
    return [x for x in itertools.product(range(units + 1), repeat=bins) if sum(x) == units]


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.2, 0.3, 0.5), (0.98, 0.01, 0.01)], ids=str)
@pytest.mark.parametrize(("canary", "champion"), [(1, 1), (1, 5), (3, 3), (4, 2)])
def test_evidence_does_not_grow_on_average_while_scores_are_distributed_alike(
    shares: tuple[float, ...], canary: int, champion: int
) -> None:
    def chance(x: tuple[int, ...], units: int) -> float:
        return float(multinomial.pmf(x, units, shares))

    mean = sum(
        chance(x, canary) * chance(y, champion) * math.exp(ScoreEvidence().after(x, y).log_e)
        for x in splits(canary, len(shares))
        for y in splits(champion, len(shares))
    )
    assert mean <= 1 + 1e-12


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.floats(0.05, 0.95), st.integers(0, 5))
def test_a_copy_in_the_bin_of_its_original_adds_no_evidence_on_average(
    weights: list[float], share: float, seed: int
) -> None:
    """mean of a_b c_b against mean of a_b times mean of c_b, for any vector of ratios; see the module."""
    chances = np.array(weights) / sum(weights)
    ratios = np.exp(np.random.default_rng(seed).normal(size=len(weights)))
    a, c = ratios / (share * ratios + 1 - share), 1 / (share * ratios + 1 - share)
    assert (chances * a * c).sum() <= (chances @ a) * (chances @ c) + 1e-12


def found_after(canary: np.ndarray, *, seed: int, looks: int = 100, per_look: int = 50) -> list[float]:
    """Units on the canary until the evidence reaches 20, run by run; infinite where it never does."""
    random, found = np.random.default_rng(seed), []
    for _ in range(60):
        seen, units = ScoreEvidence(), math.inf
        for look in range(1, looks + 1):
            ours, theirs = random.multinomial(per_look, canary), random.multinomial(9 * per_look, EVEN)
            seen = seen.after(tuple(ours.tolist()), tuple(theirs.tolist()))
            if seen.log_e >= math.log(20):
                units = look * per_look
                break
        found.append(units)
    return found


def shifted(by: float) -> np.ndarray:
    """Shares of ten bins that are even for standard normal scores, when they are shifted by so many sd."""
    edges = ndtri(np.arange(1, BINS) / BINS)
    return np.diff(np.concatenate([[0.0], ndtr(edges - by), [1.0]]))


def test_scores_alike_hardly_ever_look_different() -> None:
    assert np.isfinite(found_after(EVEN, seed=1)).mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 60)


def test_a_shift_by_a_fifth_of_a_standard_deviation_is_found_within_a_thousand_units() -> None:
    assert np.median(found_after(shifted(0.2), seed=2)) <= 1000


def test_one_bin_that_doubles_is_found() -> None:
    doubled = EVEN.copy()
    doubled[3], doubled[0] = 0.2, 0.0
    assert np.median(found_after(doubled, seed=3)) <= 1000


def test_the_distance_is_that_of_the_shares_of_bins() -> None:
    assert ScoreEvidence().distance == 0.0
    assert ScoreEvidence().after((1, 1), (0, 0)).distance == 0.0
    assert ScoreEvidence().after((5, 5), (100, 0)).distance == pytest.approx(0.5)
