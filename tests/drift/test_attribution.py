import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mlops_ray.drift import AttributionReference, attribution_reference, judge_attribution
from mlops_ray.errors import ValidationError
from mlops_ray.verdict import Verdict

Values = NDArray[np.float64]

NAMES = [f"f{i}" for i in range(8)]
WEIGHTS = np.array([2.0, 1.5, 1.0, 0.8, 0.5, 0.3, 0.2, 0.1])


def contributions(rows: int, seed: int, weights: Values = WEIGHTS) -> Values:
    return np.random.default_rng(seed).normal(size=(rows, len(weights))) * weights


REFERENCE = attribution_reference(NAMES, contributions(500, 0), method="tree_shap", exact=True, seed=1)


def judged(rows: Values, reference: AttributionReference = REFERENCE, max_shift: float = 0.08) -> Verdict:
    return judge_attribution(reference, rows, max_shift=max_shift, min_rows=50, seed=2).verdict


def test_windows_without_change_are_passed_even_where_only_chance_is_the_limit() -> None:
    found = [
        judge_attribution(REFERENCE, contributions(300, seed), max_shift=1e-9, min_rows=50, seed=2)
        for seed in range(1, 101)
    ]
    assert sum(shift.verdict is Verdict.FAIL for shift in found) <= 6, "one of a hundred is expected by chance"
    assert np.mean([shift.shift for shift in found]) < 0.04


def test_a_key_feature_that_broke_is_found_and_named_first() -> None:
    broken = WEIGHTS.copy()
    broken[0] = 0.0
    shift = judge_attribution(REFERENCE, contributions(300, 5, broken), max_shift=0.08, min_rows=50, seed=2)
    assert shift.verdict is Verdict.FAIL
    assert shift.features[0].name == "f0"
    assert shift.features[0].window == 0
    assert shift.shift == pytest.approx(WEIGHTS[0] / WEIGHTS.sum(), abs=0.03)


def test_too_few_rows_decide_nothing() -> None:
    assert judged(contributions(49, 1)) is Verdict.INCONCLUSIVE


def test_a_reference_that_moves_by_itself_allows_as_much() -> None:
    moving = [contributions(100, i, WEIGHTS * (1 + 2 * (np.arange(8) == i % 2))) for i in range(5)]
    reference = attribution_reference(NAMES, np.concatenate(moving), method="tree_shap", exact=True, seed=1)
    assert reference.block_shift > 0.1
    assert REFERENCE.block_shift == 0
    assert judged(moving[1], reference) is Verdict.PASS
    assert judged(moving[1]) is Verdict.FAIL


def test_a_model_without_any_contribution_is_judged_alike() -> None:
    reference = attribution_reference(NAMES, np.zeros((100, 8)), method="linear", exact=True, seed=1)
    assert judged(np.zeros((100, 8)), reference) is Verdict.PASS


def test_json_there_and_back() -> None:
    assert AttributionReference.from_json(REFERENCE.to_json()) == REFERENCE
    with pytest.raises(ValidationError, match="expected the JSON of an attribution reference"):
        AttributionReference.from_json("{}")


@pytest.mark.parametrize("rows", [np.empty((0, 8)), np.empty((3, 7))])
def test_what_is_no_contributions_of_these_features_is_refused(rows: Values) -> None:
    with pytest.raises(ValidationError):
        attribution_reference(NAMES, rows, method="linear", exact=True, seed=1)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_the_shift_lies_between_0_and_1_and_no_scale_changes_it(seed: int, scale: float) -> None:
    rows = contributions(60, seed, np.random.default_rng(seed).uniform(0, 3, 8))
    one, other = (
        judge_attribution(REFERENCE, values, max_shift=0.1, min_rows=50, seed=0) for values in (rows, rows * scale)
    )
    assert 0 <= one.shift <= 1
    assert one.shift == pytest.approx(other.shift, abs=1e-9)
