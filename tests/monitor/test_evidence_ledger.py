from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.monitor import Cursor, EvidenceLedger
from mlops_ray.rollout import Block, Evidence, assess, fold
from mlops_ray.spec import Analysis
from mlops_ray.verdict import Verdict
from tests.monitor.samples import served


def on(side: str, **changes: Any) -> dict[str, Any]:
    """A request assigned to a side while version 2 was under delivery."""
    return {"assigned": side, "role": side, "canary": 2, **changes}


def ledger(*batches: list[dict[str, Any]]) -> EvidenceLedger:
    taken = EvidenceLedger(slow_ms=100)
    for batch in batches:
        taken.add(served(*batch))
    return taken


def blocks(taken: EvidenceLedger, canary: int = 2) -> list[Block]:
    return taken.since(canary, Cursor())[1]


def test_requests_count_for_the_side_they_were_assigned_to() -> None:
    fallback = on("canary", role="champion", error="timeout")
    taken = ledger([on("canary"), fallback, on("champion"), on("champion", error="no memory", status=500)])
    assert blocks(taken) == [Block(2, 2, 1, 1, 0, 0)]


def test_a_request_of_many_rows_counts_once() -> None:
    assert blocks(ledger([on("canary", row=row) for row in range(5)])) == [Block(1, 0, 0, 0, 0, 0)]


def test_without_a_canary_beside_it_a_request_says_nothing() -> None:
    taken = ledger([{"canary": 0}])
    assert blocks(taken) == []
    assert blocks(taken, canary=0) == []


def test_requests_asked_for_by_version_are_no_part_of_the_comparison() -> None:
    assert blocks(ledger([on("direct", version=2), on("canary")])) == [Block(1, 0, 0, 0, 0, 0)]


def test_slower_than_the_objective_is_slow_also_when_the_champion_had_to_answer() -> None:
    late = on("canary", role="champion", error="timeout", latency_ms=310.0)
    taken = ledger([late, on("canary", latency_ms=100.0), on("champion", latency_ms=101.0)])
    assert blocks(taken) == [Block(2, 1, 1, 0, 1, 1)]


def test_a_client_that_tries_a_failing_request_again_counts_once_over_all_batches() -> None:
    failing = on("canary", unit="ada", error="boom")
    taken = ledger([failing, failing, on("canary", unit="bob")], [failing, on("champion")])
    assert blocks(taken) == [
        Block(3, 0, 1, 0, 0, 0, canary_repeated_errors=1),
        Block(1, 1, 0, 0, 0, 0, canary_repeated_errors=1),
    ]


def test_a_unit_that_failed_still_counts_where_it_is_answered() -> None:
    taken = ledger([on("canary", unit="ada", error="boom")], [on("canary", unit="ada")])
    assert blocks(taken) == [Block(1, 0, 1, 0, 0, 0), Block(1, 0, 0, 0, 0, 0)]


def test_a_canary_that_fails_all_requests_of_few_units_does_not_look_fine() -> None:
    failing = [on("canary", unit=f"u{i % 3}", error="boom") for i in range(300)]
    (block,) = blocks(ledger(failing))
    assert block == Block(300, 0, 3, 0, 0, 0, canary_repeated_errors=297)


@pytest.mark.parametrize(("units", "bad_units"), [(5, 2), (20, 2), (50, 2)])
def test_a_canary_that_always_fails_a_few_of_its_units_never_passes(units: int, bad_units: int) -> None:
    analysis = Analysis()
    evidence = Evidence.none(analysis)
    taken = EvidenceLedger(slow_ms=100)
    for _ in range(40):
        canary = [on("canary", unit=f"u{i}", error="boom" if i < bad_units else None) for i in range(units)]
        taken.add(served(*canary, *[on("champion", unit=f"c{i}") for i in range(9 * units)]))
    for block in blocks(taken):
        evidence = fold(evidence, block, analysis)
        assert assess(evidence, analysis).verdict is not Verdict.PASS


def test_one_slow_customer_does_not_roll_a_version_back() -> None:
    slow = [on("canary", unit="bulk", latency_ms=900.0) for _ in range(200)]
    taken = ledger([*slow, *[on("champion", unit=f"c{i}") for i in range(200)]])
    (block,) = blocks(taken)
    assert (block.canary_slow, block.canary_repeated_slow) == (1, 199)
    evidence = fold(Evidence.none(Analysis()), block, Analysis())
    assert assess(evidence, Analysis()).verdict is Verdict.INCONCLUSIVE


def test_the_same_unit_failing_on_the_other_side_is_news() -> None:
    taken = ledger([on("canary", unit="ada", error="boom"), on("champion", unit="ada", error="boom")])
    assert blocks(taken) == [Block(1, 1, 1, 1, 0, 0)]


def test_requests_under_different_routes_are_different_blocks() -> None:
    taken = ledger([on("canary", epoch=4), on("canary", epoch=5), on("champion", epoch=4)])
    assert blocks(taken) == [Block(1, 1, 0, 0, 0, 0), Block(1, 0, 0, 0, 0, 0)]


def test_a_reader_takes_each_block_once() -> None:
    taken = ledger([on("canary")])
    cursor, first = taken.since(2, Cursor())
    assert len(first) == 1
    assert taken.since(2, cursor) == (cursor, [])
    taken.add(served(on("champion")))
    assert taken.since(2, cursor)[1] == [Block(0, 1, 0, 0, 0, 0)]


def test_a_cursor_of_another_incarnation_reads_from_the_start() -> None:
    cursor, _ = ledger([on("canary")], [on("canary")]).since(2, Cursor())
    assert ledger([on("champion")]).since(2, cursor)[1] == [Block(0, 1, 0, 0, 0, 0)]


def test_blocks_of_an_earlier_delivery_of_the_version_are_not_read() -> None:
    taken = ledger([on("canary", epoch=4, error="boom")], [on("canary", epoch=9)])
    assert taken.since(2, Cursor(since_epoch=8))[1] == [Block(1, 0, 0, 0, 0, 0)]


def test_an_ended_rollout_is_forgotten_and_its_units_with_it() -> None:
    failing = on("canary", unit="ada", error="boom")
    taken = ledger([failing], [on("canary", canary=3)])
    cursor, _ = taken.since(2, Cursor())
    taken.keep_only({3})
    assert blocks(taken) == []
    assert len(blocks(taken, canary=3)) == 1
    taken.add(served(failing))
    assert taken.since(2, cursor)[1] == [Block(1, 0, 1, 0, 0, 0)]


def test_who_failed_before_a_restart_is_remembered_without_counting_again() -> None:
    failing = on("canary", unit="ada", error="boom")
    taken = EvidenceLedger(slow_ms=100)
    taken.remember(served(failing))
    assert blocks(taken) == []
    taken.add(served(failing, on("canary", unit="bob", error="boom")))
    assert blocks(taken) == [Block(2, 0, 1, 0, 0, 0, canary_repeated_errors=1)]


REQUESTS = st.lists(
    st.builds(
        on,
        st.sampled_from(["canary", "champion"]),
        unit=st.sampled_from("abc"),
        error=st.sampled_from([None, "boom"]),
        latency_ms=st.sampled_from([1.0, 200.0]),
    ),
    min_size=1,
    max_size=12,
)


@given(requests=REQUESTS, cut=st.integers(0, 12))
def test_how_requests_were_batched_makes_no_difference(requests: list[dict[str, Any]], cut: int) -> None:
    def total(taken: EvidenceLedger) -> list[int]:
        return [sum(values) for values in zip(*(vars(block).values() for block in blocks(taken)), strict=True)]

    parts = [part for part in (requests[:cut], requests[cut:]) if part]
    assert total(ledger(*parts)) == total(ledger(requests))
