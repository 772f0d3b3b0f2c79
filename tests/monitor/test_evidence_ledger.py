from dataclasses import astuple
from typing import Any

from mlops_ray.monitor import Cursor, EvidenceLedger
from mlops_ray.monitor.yardstick import Yardstick
from mlops_ray.rollout import Block
from mlops_ray.spec import Latency
from tests.monitor.samples import on, served

YARDSTICK = Yardstick(slow_ms=100.0, latency=Latency(), task="binary")


def ledger(*batches: list[dict[str, Any]], first: int = 0) -> EvidenceLedger:
    taken = EvidenceLedger(YARDSTICK)
    for number, batch in enumerate(batches, start=first):
        taken.add(number, served(*batch))
    return taken


def requests(blocks: list[Block]) -> list[tuple[int, int]]:
    return [(block.canary_requests, block.champion_requests) for block in blocks]


def read(taken: EvidenceLedger, canary: int = 2) -> list[Block]:
    return taken.since(canary, Cursor())[1]


def test_requests_under_different_routes_are_different_blocks() -> None:
    taken = ledger([on("canary", epoch=4), on("canary", epoch=5), on("champion", epoch=4)])
    assert requests(read(taken)) == [(1, 1), (1, 0)]


def test_requests_beside_different_versions_are_different_blocks() -> None:
    taken = ledger([on("canary"), on("canary", canary=3)])
    assert (requests(read(taken)), requests(read(taken, 3))) == ([(1, 0)], [(1, 0)])


def test_a_reader_takes_each_block_once() -> None:
    taken = ledger([on("canary")])
    cursor, first = taken.since(2, Cursor())
    assert requests(first) == [(1, 0)]
    assert taken.since(2, cursor) == (cursor, [])
    taken.add(1, served(on("champion")))
    assert requests(taken.since(2, cursor)[1]) == [(0, 1)]


def test_a_ledger_that_is_made_again_goes_on_for_a_reader_where_it_was() -> None:
    batches = [[on("canary")], [on("champion")], [on("canary"), on("canary")]]
    cursor, _ = ledger(*batches[:2], first=7).since(2, Cursor())
    assert requests(ledger(*batches, first=7).since(2, cursor)[1]) == [(2, 0)]


def test_a_ledger_that_knows_nothing_yet_does_not_lead_a_reader_back() -> None:
    cursor, _ = ledger([on("canary")], first=7).since(2, Cursor())
    assert ledger().since(2, cursor) == (cursor, [])


def test_a_cursor_of_another_numbering_reads_everything() -> None:
    assert requests(ledger([on("canary")]).since(2, Cursor("elsewhere", 99))[1]) == [(1, 0)]


def test_a_cursor_comes_back_from_a_list() -> None:
    cursor, _ = ledger([on("canary")], first=2**40).since(2, Cursor(since_epoch=1))
    assert Cursor(*list(astuple(cursor))) == cursor


def test_blocks_of_an_earlier_delivery_of_the_version_are_not_read() -> None:
    taken = ledger([on("canary", epoch=4, error="boom")], [on("canary", epoch=9)])
    assert requests(taken.since(2, Cursor(since_epoch=8))[1]) == [(1, 0)]


def test_who_failed_in_an_earlier_delivery_is_news_in_this_one() -> None:
    taken = EvidenceLedger(YARDSTICK)
    taken.follow({2: 8})
    for number, epoch in enumerate((4, 9)):
        taken.add(number, served(on("canary", unit="ada", error="boom", epoch=epoch)))
    assert [block.canary_errors for block in read(taken)] == [1]


def test_an_ended_rollout_is_forgotten_and_its_units_with_it() -> None:
    failing = on("canary", unit="ada", error="boom")
    taken = ledger([failing], [on("canary", canary=3)])
    cursor, _ = taken.since(2, Cursor())
    taken.follow({3: 0})
    assert read(taken) == []
    assert len(read(taken, 3)) == 1
    taken.add(2, served(failing))
    assert [block.canary_errors for block in taken.since(2, cursor)[1]] == [1]


def test_units_of_a_delivery_are_known_by_epoch() -> None:
    taken = ledger([on("canary", epoch=4), on("champion", epoch=4), on("champion", epoch=5)])
    assert [(units.epoch, units.canary, units.champion) for units in taken.units(2)] == [(4, 1, 1), (5, 0, 1)]
    assert taken.units(3) == ()
