from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.monitor.comparison import Comparison, UnitTotals
from mlops_ray.monitor.requests import by_route
from mlops_ray.monitor.yardstick import Yardstick
from mlops_ray.rollout import Block, Evidence, assess, fold
from mlops_ray.spec import Latency, Rollout
from mlops_ray.verdict import Verdict
from tests.monitor.samples import on, served

Rows = Sequence[dict[str, Any]]
YARDSTICK = Yardstick(slow_ms=100.0, latency=Latency(), task="binary", edges=(0.25, 0.5, 0.75))
PLAIN = Yardstick(slow_ms=100.0, latency=Latency(quantiles=()), task="binary")


def blocks(*batches: Rows, by: Yardstick = PLAIN, comparison: Comparison | None = None) -> list[Block]:
    """What one comparison makes of batches, one after the other."""
    compared = comparison or Comparison()
    return [
        compared.block(requests, epoch, by) for batch in batches for _, epoch, requests in by_route(served(*batch), by)
    ]


def counts(block: Block) -> tuple[int, ...]:
    """Requests, errors and slow answers, and what is repeated of them."""
    return (
        block.canary_requests,
        block.champion_requests,
        block.canary_errors,
        block.champion_errors,
        block.canary_slow,
        block.champion_slow,
        block.canary_repeated_errors,
        block.canary_repeated_slow,
    )


# -- requests, errors, slow answers ------------------------------------------------------------------------------------


def test_requests_count_for_the_side_they_were_assigned_to() -> None:
    fallback = on("canary", role="champion", error="timeout")
    (block,) = blocks([on("canary"), fallback, on("champion"), on("champion", error="no memory", status=500)])
    assert counts(block) == (2, 2, 1, 1, 0, 0, 0, 0)


def test_a_request_of_many_rows_counts_once() -> None:
    (block,) = blocks([on("canary", row=row, request_id="r") for row in range(5)])
    assert counts(block)[:2] == (1, 0)


def test_without_a_version_under_delivery_a_request_says_nothing() -> None:
    assert blocks([{"canary": 0}]) == []


def test_requests_asked_for_by_version_are_no_part_of_the_comparison() -> None:
    assert blocks([on("direct", role="direct"), on("direct", role="champion")]) == []


def test_records_from_before_shares_were_kept_say_nothing() -> None:
    assert blocks([on("canary", share=None)]) == []


def test_slower_than_the_objective_is_slow_also_when_the_champion_had_to_answer() -> None:
    late = on("canary", role="champion", error="timeout", latency_ms=310.0)
    (block,) = blocks([late, on("canary", predict_ms=99.5), on("champion", predict_ms=100.0)])
    assert counts(block) == (2, 1, 1, 0, 1, 1, 0, 0)


def test_the_way_to_a_version_under_delivery_is_not_the_versions() -> None:
    hop = [on("canary", latency_ms=900.0), on("champion", latency_ms=900.0)]
    assert counts(*blocks(hop))[4:6] == (0, 0)
    assert counts(*blocks([on("canary", latency_ms=900.0, queue_ms=None)]))[4] == 1, "where no more is known"


def test_a_client_that_tries_a_failing_request_again_counts_once_over_all_batches() -> None:
    failing = on("canary", unit="ada", error="boom")
    first, second = blocks([failing, failing, on("canary", unit="bob")], [failing, on("champion")])
    assert counts(first) == (3, 0, 1, 0, 0, 0, 1, 0)
    assert counts(second) == (1, 1, 0, 0, 0, 0, 1, 0)


def test_a_unit_that_failed_still_counts_where_it_is_answered() -> None:
    first, second = blocks([on("canary", unit="ada", error="boom")], [on("canary", unit="ada")])
    assert (counts(first)[:3], counts(second)[:3]) == ((1, 0, 1), (1, 0, 0))


def test_a_unit_that_failed_on_the_champion_is_no_news_when_the_share_grows_over_it() -> None:
    failing = {"unit": "ada", "error": "boom"}
    first, second = blocks([on("champion", **failing)], [on("canary", epoch=2, **failing)])
    assert counts(first) == (0, 1, 0, 1, 0, 0, 0, 0)
    assert counts(second) == (1, 0, 0, 0, 0, 0, 1, 0)


def test_a_unit_that_was_slow_has_not_failed_yet() -> None:
    first, second = blocks([on("canary", unit="ada", predict_ms=900.0)], [on("canary", unit="ada", error="boom")])
    assert (counts(first)[4], counts(second)[2]) == (1, 1)


def test_without_units_each_request_stands_for_itself() -> None:
    failing = [on("canary", unit=None, error="boom") for _ in range(3)]
    assert counts(*blocks(failing))[2] == 3


def test_a_canary_that_fails_all_requests_of_few_units_does_not_look_fine() -> None:
    (block,) = blocks([on("canary", unit=f"u{i % 3}", error="boom") for i in range(300)])
    assert (block.canary_errors, block.canary_repeated_errors) == (3, 297)


@pytest.mark.parametrize(("units", "bad_units"), [(5, 2), (20, 2), (50, 2)])
def test_a_canary_that_always_fails_a_few_of_its_units_never_passes(units: int, bad_units: int) -> None:
    evidence, comparison = Evidence.none(Rollout().analysis), Comparison()
    for _ in range(40):
        canary = [on("canary", unit=f"u{i}", error="boom" if i < bad_units else None) for i in range(units)]
        champion = [on("champion", unit=f"c{i}") for i in range(9 * units)]
        for block in blocks([*canary, *champion], comparison=comparison):
            evidence = fold(evidence, block, Rollout().analysis)
        assert assess(evidence, Rollout()).verdict is not Verdict.PASS


def test_a_client_that_tries_again_counts_alike_on_both_sides() -> None:
    failing = [on(side, unit=side, error="boom", latency_ms=900.0) for side in ("canary", "champion") for _ in range(5)]
    (block,) = blocks(failing)
    assert (block.canary_errors, block.canary_repeated_errors) == (1, 4)
    assert (block.champion_errors, block.champion_repeated_errors) == (1, 4)
    assert (block.canary_repeated_slow, block.champion_repeated_slow) == (4, 4)


def test_one_slow_customer_does_not_roll_a_version_back() -> None:
    slow = [on("canary", unit="bulk", predict_ms=900.0) for _ in range(200)]
    (block,) = blocks([*slow, *[on("champion", unit=f"c{i}") for i in range(200)]])
    assert (block.canary_slow, block.canary_repeated_slow) == (1, 199)
    evidence = fold(Evidence.none(Rollout().analysis), block, Rollout().analysis)
    assert assess(evidence, Rollout()).verdict is Verdict.INCONCLUSIVE


def test_where_too_many_units_failed_to_be_told_apart_no_more_are_counted() -> None:
    full = Comparison(capacity=2)
    failing = [[on("canary", unit=f"u{i}", error="boom"), on("champion", unit=f"c{i}")] for i in range(5)]
    found = blocks(*failing, comparison=full)
    assert [block.canary_errors for block in found] == [1, 1, 0, 0, 0]
    assert [block.canary_repeated_errors for block in found] == [0, 0, 1, 1, 1]


# -- copies ------------------------------------------------------------------------------------------------------------


def test_copies_are_held_against_all_of_the_champions_requests_where_nobody_meets_the_version() -> None:
    batch = [on("champion", share=0.0), on("champion", share=0.0), on("shadow", share=0.0, error="boom", status=500)]
    (block,) = blocks(batch)
    assert counts(block) == (1, 2, 1, 0, 0, 0, 0, 0)
    assert block.share == 0.0


def test_a_slow_copy_harms_nobody() -> None:
    slow = {"share": 0.0, "predict_ms": 900.0}
    assert counts(*blocks([on("champion", **slow), on("shadow", **slow)]))[4:6] == (0, 0)


def test_copies_beside_a_share_are_no_requests_of_the_canary() -> None:
    (block,) = blocks([on("canary"), on("champion"), on("shadow", error="boom", status=500)])
    assert counts(block)[:3] == (1, 1, 0)


# -- time in the model -------------------------------------------------------------------------------------------------


def warm(count: int = 200, predict_ms: float = 10.0, **changes: Any) -> list[dict[str, Any]]:
    """Requests of the champion that took this long."""
    return [on("champion", unit=f"w{i}", predict_ms=predict_ms, **changes) for i in range(count)]


MEDIAN = Yardstick(slow_ms=1e6, latency=Latency(quantiles=(0.5,), floor_ms=5.0, floor_ratio=0.25), task="binary")


def test_thresholds_come_from_blocks_before_only() -> None:
    first, second = blocks([*warm(), on("canary", predict_ms=99.0)], [on("canary", predict_ms=99.0)], by=MEDIAN)
    assert (first.timed, first.quantiles) == ((0, 0), {})
    assert (second.timed, second.quantiles) == ((1, 0), {"p50": (1, 0)})


def test_the_canary_may_be_later_by_what_is_no_harm() -> None:
    batch = [on("canary", predict_ms=14.0), on("champion", predict_ms=14.0), on("canary", predict_ms=16.0)]
    assert blocks(warm(), batch, by=MEDIAN)[1].quantiles == {"p50": (1, 1)}


def test_a_unit_is_above_a_quantile_once_on_whichever_side() -> None:
    slow = {"unit": "ada", "predict_ms": 99.0}
    later = [on("canary", epoch=2, **slow), on("canary", epoch=2, unit="bob")]
    found = blocks(warm(), [on("champion", **slow), on("champion", **slow)], later, by=MEDIAN)
    assert [(block.timed, block.quantiles) for block in found[1:]] == [
        ((0, 2), {"p50": (0, 1)}),
        ((2, 0), {"p50": (0, 0)}),
    ]


def test_only_answers_of_the_version_that_was_meant_are_timed() -> None:
    fallback = on("canary", role="champion", error="timeout", predict_ms=99.0)
    unknown = on("canary", predict_ms=None)
    failed = on("champion", status=500, error="boom", predict_ms=0.0)
    assert blocks(warm(), [fallback, unknown, failed], by=MEDIAN)[1].timed == (0, 0)


def test_copies_are_timed_where_nobody_meets_the_version() -> None:
    found = blocks(warm(share=0.0), [on("shadow", share=0.0, predict_ms=99.0)], by=MEDIAN)
    assert (found[1].timed, found[1].quantiles) == ((1, 0), {"p50": (1, 0)})


def test_when_too_many_units_were_above_nothing_is_timed_any_more() -> None:
    full = Comparison(capacity=1)
    found = blocks(warm(), [on("canary", predict_ms=99.0)], [on("canary", predict_ms=99.0)], by=MEDIAN, comparison=full)
    assert (found[1].timed, found[2].timed) == ((1, 0), (0, 0))


# -- scores ------------------------------------------------------------------------------------------------------------


def test_the_first_score_of_each_unit_counts_in_its_bin() -> None:
    batch = [
        on("canary", unit="ada", score=0.9),
        on("canary", unit="ada", score=0.1),
        on("champion", unit="bob", score=0.3),
        on("champion", unit="cid", score=0.1),
    ]
    assert blocks(batch, by=YARDSTICK)[0].scores == ((0, 0, 0, 1), (1, 1, 0, 0))


def test_of_a_request_of_many_rows_the_first_row_counts() -> None:
    rows = [on("canary", request_id="r", unit="ada", row=row, score=0.9 - 0.8 * row) for row in range(2)]
    assert blocks(rows, by=YARDSTICK)[0].scores == ((0, 0, 0, 1), (0, 0, 0, 0))


def test_what_the_champion_answered_for_the_canary_is_no_score_of_the_canary() -> None:
    fallback = on("canary", role="champion", error="timeout", unit="ada", score=0.9)
    answered = on("canary", unit="ada", score=0.1)
    assert blocks([fallback, answered], by=YARDSTICK)[0].scores == ((1, 0, 0, 0), (0, 0, 0, 0))


def test_of_copies_both_versions_scores_of_the_same_row_are_compared() -> None:
    batch = [
        on("champion", share=0.0, unit="ada", score=0.3),
        on("shadow", share=0.0, unit="ada", score=0.9, paired_score=0.3),
        on("champion", share=0.0, unit="bob", score=0.6),
        on("shadow", share=0.0, unit="cid", score=None, paired_score=0.3, error="boom", status=500),
        on("shadow", share=0.0, unit="dan", score=0.9, paired_score=None),
    ]
    assert blocks(batch, by=YARDSTICK)[0].scores == ((0, 0, 0, 1), (0, 1, 0, 0))


def test_without_bins_there_are_no_scores() -> None:
    assert blocks([on("canary")])[0].scores == ((), ())


# -- pairs -------------------------------------------------------------------------------------------------------------


def test_a_request_disagrees_when_one_of_its_rows_does() -> None:
    batch = [
        on("canary", request_id="a", row=0, score=0.9, paired_score=0.8),
        on("canary", request_id="a", row=1, score=0.9, paired_score=0.4),
        on("canary", request_id="b", score=0.9, paired_score=0.8),
        on("canary", request_id="c", score=0.9),
    ]
    assert blocks(batch)[0].paired == (2, 1)


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_copies_are_paired(share: float) -> None:
    assert blocks([on("shadow", share=share, score=0.9, paired_score=0.2)])[0].paired == (1, 1)


# -- the sample ratio --------------------------------------------------------------------------------------------------


def test_units_are_counted_once_in_each_epoch() -> None:
    comparison = Comparison()
    first = [on("canary", unit="ada"), on("canary", unit="ada"), on("champion", unit="bob")]
    second = [on("champion", unit="bob"), on("champion", unit="cid")]
    third = [on("canary", unit="bob", epoch=2, share=0.5)]
    found = blocks(first, second, third, comparison=comparison)
    assert [block.units for block in found] == [(1, 1), (0, 1), (1, 0)]
    assert comparison.units == (UnitTotals(1, 0.1, 1, 2), UnitTotals(2, 0.5, 1, 0))


def test_requests_that_failed_are_units_like_others() -> None:
    assert blocks([on("canary", role="champion", error="timeout")])[0].units == (1, 0)


@pytest.mark.parametrize(("share", "side"), [(0.0, "shadow"), (1.0, "canary"), (0.00001, "champion")])
def test_where_there_is_no_split_there_is_no_ratio(share: float, side: str) -> None:
    comparison = Comparison()
    assert blocks([on(side, share=share)], comparison=comparison)[0].units == (0, 0)
    assert comparison.units == ()


def test_copies_are_no_units_of_the_split() -> None:
    assert blocks([on("champion", unit="ada"), on("shadow", unit="bob")])[0].units == (0, 1)


def test_late_records_of_a_route_long_gone_are_no_units_again() -> None:
    old, comparison = [on("canary", unit="ada")], Comparison()
    newer = [[on("canary", epoch=epoch)] for epoch in (2, 3)]
    assert [block.units for block in blocks(old, *newer, old, comparison=comparison)][-1] == (0, 0)


# -- batches -----------------------------------------------------------------------------------------------------------

REQUESTS = st.lists(
    st.builds(
        on,
        st.sampled_from(["canary", "champion", "shadow"]),
        unit=st.sampled_from("abc"),
        error=st.sampled_from([None, "boom"]),
        predict_ms=st.sampled_from([1.0, 200.0]),
        score=st.sampled_from([0.2, 0.8]),
        paired_score=st.sampled_from([None, 0.8]),
    ),
    min_size=1,
    max_size=12,
)


@given(requests=REQUESTS, cut=st.integers(0, 12), share=st.sampled_from([0.0, 0.1]))
def test_how_requests_were_batched_makes_no_difference(requests: Rows, cut: int, share: float) -> None:
    def total(*batches: Rows) -> list[Any]:
        found = [vars(block) for block in blocks(*batches, by=YARDSTICK)]
        sums = [sum(block[name] for block in found) for name in found[0] if name.startswith(("canary", "champion"))]
        pairs = [
            tuple(sum(part) for part in zip(*(b[name] for b in found), strict=True)) for name in ("paired", "units")
        ]
        scores = [
            tuple(sum(counts) for counts in zip(*(block["scores"][side] for block in found), strict=True))
            for side in (0, 1)
        ]
        return [*sums, *pairs, *scores]

    requests = [request | {"share": share, "request_id": f"r{i}"} for i, request in enumerate(requests)]
    parts = [part for part in (requests[:cut], requests[cut:]) if part]
    assert total(*parts) == total(requests)
