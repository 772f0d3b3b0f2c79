"""Evidence folds in any order, forgets nothing, and survives JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.errors import RolloutError
from mlops_ray.rollout import Block, Evidence, MetricEvidence, fold
from mlops_ray.spec import Analysis
from tests.rollout.strategies import blocks

ANALYSIS = Analysis()
NOTHING = Evidence.none(ANALYSIS)


def folded(parts: list[Block]) -> Evidence:
    evidence = NOTHING
    for block in parts:
        evidence = fold(evidence, block, ANALYSIS)
    return evidence


def assert_alike(a: Evidence, b: Evidence) -> None:
    assert (a.canary_requests, a.champion_requests) == (b.canary_requests, b.champion_requests)
    for x, y in ((a.errors, b.errors), (a.latency, b.latency)):
        assert (x.canary_bad, x.champion_bad) == (y.canary_bad, y.champion_bad)
        assert [*x.worse, *x.fine, x.absolute] == pytest.approx([*y.worse, *y.fine, y.absolute], rel=1e-9, abs=1e-6)


@given(st.lists(blocks(), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_blocks_does_not_matter(parts: list[Block], random: object) -> None:
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert_alike(folded(parts), folded(shuffled))


@given(blocks(), st.integers(2, 4))
def test_equal_blocks_one_by_one_are_one_block_of_their_sum(block: Block, times: int) -> None:
    together = Block(*(count * times for count in vars(block).values()))
    assert_alike(folded([block] * times), folded([together]))


@given(st.lists(blocks(), max_size=3))
def test_an_empty_block_changes_nothing(parts: list[Block]) -> None:
    evidence = folded(parts)
    assert fold(evidence, Block(0, 0, 0, 0, 0, 0), ANALYSIS) == evidence


@given(st.lists(blocks(), max_size=4))
def test_evidence_survives_json(parts: list[Block]) -> None:
    evidence = folded(parts)
    assert Evidence.from_json(json.loads(json.dumps(evidence.to_json(), allow_nan=False))) == evidence


def test_a_block_without_champion_requests_still_counts_for_the_absolute_share() -> None:
    evidence = folded([Block(100, 0, 0, 0, 5, 0)])
    assert evidence.errors.absolute > 0 > evidence.latency.absolute
    assert evidence.errors.worse == MetricEvidence.none().worse


@pytest.mark.parametrize(
    "counts", [(-1, 0, 0, 0, 0, 0), (5, 5, 6, 0, 0, 0), (5, 5, 0, 0, 0, 6), (5, 5, 0, -1, 0, 0)], ids=str
)
def test_a_block_that_cannot_be_is_refused(counts: tuple[int, ...]) -> None:
    with pytest.raises(RolloutError, match="expected"):
        Block(*counts)
