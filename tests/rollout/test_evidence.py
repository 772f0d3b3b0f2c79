"""Evidence folds in any order, forgets nothing, and survives JSON."""

import json
from dataclasses import asdict, replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.errors import RolloutError
from mlops_ray.rollout import Block, Evidence, Measured, MetricEvidence, Stratum, fold, with_measurement, with_outcomes
from mlops_ray.spec import Analysis, Predictions, PromQL
from tests.rollout.strategies import BINS, MEASURED, STRATA, blocks

ANALYSIS = Analysis()
NOTHING = Evidence.none(ANALYSIS)
CPU = PromQL(name="cpu", query="cpu", max=1.0)


def folded(parts: list[Block], analysis: Analysis = ANALYSIS) -> Evidence:
    evidence = NOTHING
    for block in parts:
        evidence = fold(evidence, block, analysis)
    return evidence


def numbers(content: Any) -> list[Any]:
    """Everything in nested JSON values, in order."""
    if isinstance(content, dict):
        return [number for key in sorted(content) for number in (key, *numbers(content[key]))]
    if isinstance(content, list | tuple):
        return [number for part in content for number in numbers(part)]
    return [content]


def assert_alike(a: Evidence, b: Evidence) -> None:
    for x, y in zip(numbers(asdict(a)), numbers(asdict(b)), strict=True):
        assert x == (pytest.approx(y, rel=1e-9, abs=1e-6) if isinstance(y, float) else y)


@given(st.lists(blocks(), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_blocks_does_not_matter(parts: list[Block], random: Random) -> None:
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert_alike(folded(parts), folded(shuffled))


@given(blocks(), st.integers(2, 4))
def test_equal_blocks_one_by_one_are_one_block_of_their_sum(block: Block, times: int) -> None:
    def multiplied(counts: Any) -> Any:
        if isinstance(counts, dict):
            return {key: multiplied(part) for key, part in counts.items()}
        return tuple(multiplied(part) for part in counts) if isinstance(counts, tuple) else counts * times

    together = Block(**{**multiplied(vars(block)), "share": block.share})
    assert_alike(folded([block] * times), folded([together]))


@given(st.lists(blocks(), max_size=3), st.sampled_from([0.0, 0.05, 1.0]))
def test_an_empty_block_changes_nothing(parts: list[Block], share: float) -> None:
    evidence = folded(parts)
    assert fold(evidence, Block(0, 0, 0, 0, 0, 0, share=share), ANALYSIS) == evidence
    without_scores = Block(0, 0, 0, 0, 0, 0, scores=((0,) * BINS, (0,) * BINS), quantiles={"p50": (0, 0)})
    assert fold(evidence, without_scores, ANALYSIS) == evidence


@given(
    st.lists(blocks(), max_size=4),
    st.dictionaries(st.text(max_size=3), STRATA, max_size=2),
    st.dictionaries(st.text(max_size=3), MEASURED, max_size=2),
)
def test_evidence_survives_json(
    parts: list[Block], outcomes: dict[str, tuple[Stratum, ...]], measurements: dict[str, Measured]
) -> None:
    evidence = replace(with_outcomes(folded(parts), outcomes), measurements=measurements)
    assert Evidence.from_json(json.loads(json.dumps(evidence.to_json(), allow_nan=False))) == evidence


def test_a_block_of_canary_requests_only_counts_by_the_share_of_units() -> None:
    evidence = folded([Block(100, 0, 0, 0, 5, 0, share=0.05), Block(100, 0, 5, 0, 0, 0, share=0.05)])
    assert evidence.errors.absolute > evidence.latency.absolute - 1e-9
    assert min(evidence.errors.worse) > 0, "five units of twenty times as many failed, all of them on the canary"


@pytest.mark.parametrize(("heavy", "on_canary"), [(0, False), (50_000, False), (50_000, True)])
def test_how_busy_a_single_unit_is_says_nothing_about_who_fails(heavy: int, on_canary: bool) -> None:
    canary, champion = 10 + heavy * on_canary, 190 + heavy * (not on_canary)
    evidence = folded([Block(canary, champion, 1, 19, 0, 0, share=0.05)] * 20)
    assert evidence.errors.worse == folded([Block(10, 190, 1, 19, 0, 0, share=0.05)] * 20).errors.worse
    assert max(evidence.errors.worse) < 0


@pytest.mark.parametrize(("share", "counts"), [(0.5, False), (1.0, True)])
def test_only_where_all_units_are_on_the_canary_its_share_is_held_against_a_bound(share: float, counts: bool) -> None:
    errors = folded([Block(100, 100, 9, 1, 0, 0, share=share)]).errors
    assert (errors.excess != MetricEvidence.none().excess) is counts
    assert (errors.worse != MetricEvidence.none().worse) is not counts


def test_copies_count_for_errors_and_not_for_the_latency_objective() -> None:
    evidence = folded([Block(100, 900, 2, 1, 0, 30, share=0.0)])
    assert (evidence.errors.canary_requests, evidence.errors.canary_bad) == (100, 2)
    assert evidence.latency == MetricEvidence.none()


def test_another_number_of_bins_than_before_is_refused() -> None:
    evidence = folded([Block(9, 9, 0, 0, 0, 0, scores=((1, 2), (3, 4)))])
    with pytest.raises(RolloutError, match="2 bins"):
        fold(evidence, Block(9, 9, 0, 0, 0, 0, scores=((1, 2, 3), (3, 4, 5))), ANALYSIS)


def test_scores_are_not_looked_at_when_they_are_switched_off() -> None:
    off = Analysis(predictions=Predictions(bins=0))
    assert folded([Block(9, 9, 0, 0, 0, 0, scores=((1, 2), (3, 4)))], off) == folded([Block(9, 9, 0, 0, 0, 0)], off)


def test_outcomes_take_the_place_of_earlier_ones() -> None:
    evidence = with_outcomes(with_outcomes(NOTHING, {"a": (), "b": ()}), {"c": ()})
    assert evidence.outcomes == {"c": ()}


def measured(values: list[float | None]) -> Measured:
    evidence = NOTHING
    for at_s, value in enumerate(values):
        evidence = with_measurement(evidence, "cpu", value, CPU, float(at_s))
    return evidence.measurements["cpu"]


def test_measurements_outside_are_counted_in_a_row_and_missed_ones_do_not_break_it() -> None:
    assert measured([0.5, 2.0, None, 2.0]) == Measured(last=2.0, at_s=3.0, taken=3, missed=1, outside=2)
    assert measured([2.0, 2.0, 1.0]).outside == 0


def test_a_measurement_that_is_no_number_was_not_taken() -> None:
    assert measured([float("nan"), None]) == Measured(at_s=1.0, missed=2)


def test_a_measurement_handed_in_twice_counts_once() -> None:
    once = with_measurement(NOTHING, "cpu", 2.0, CPU, 5.0)
    assert with_measurement(once, "cpu", 2.0, CPU, 5.0) == once
