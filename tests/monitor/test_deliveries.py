import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_ray.lake import Lake
from mlops_ray.monitor import Cursor, EvidenceLedger
from mlops_ray.monitor.deliveries import Deliveries, Delivery, Reading, delivery_of
from mlops_ray.monitor.yardstick import Yardstick
from mlops_ray.records import RecordLog
from mlops_ray.rollout import Block
from mlops_ray.spec import Latency
from mlops_ray.store import RolloutRecord
from tests.monitor.samples import on, rollout, served

NOW_S = 1_700_000_000.0
YARDSTICK = Yardstick(slow_ms=100.0, latency=Latency(quantiles=(0.5,)), task="binary", edges=(0.5,))
BEGUN = rollout(created_s=NOW_S, state={"cursor": ["", 0, 1]})


class Log(RecordLog):
    """Records whose lake fails now and then, before a file is there or after."""

    fails: str = ""

    def append_served(self, name: str, table: pa.Table, time_s: float) -> bool:
        if self.fails == "before":
            raise OSError("the lake is away")
        written = super().append_served(name, table, time_s)
        if self.fails == "after":
            raise OSError("the lake did not answer in time")
        return written


class World:
    """A replica that hands over, the process that keeps and counts, and a reader of its evidence."""

    def __init__(self, folder: Path, *rollouts: RolloutRecord) -> None:
        self.lake = Lake(str(folder))
        self.log = Log(self.lake, "toy")
        self.rollouts = rollouts or (BEGUN,)
        self.handed: list[tuple[str, pa.Table]] = []
        self.kept: list[pa.Table] = []
        self.cursor = Cursor(since_epoch=1)
        self.blocks: list[Block] = []
        self.saved = (self.cursor, self.blocks)
        self.begun: Reading | None = None
        self.made: EvidenceLedger | None = None
        self.restart()

    def restart(self) -> None:
        self.deliveries = Deliveries(self.log, self.lake, "toy", yardstick=YARDSTICK)
        self.begun = self.made = None

    def follow(self) -> None:
        self.deliveries.follow(self.rollouts)

    def hand_over(self, *rows: dict[str, Any], fails: str = "") -> None:
        name = f"replica-{len(self.handed):08d}"
        self.handed.append((name, served(*[{"request_id": f"{name}-{i}", **row} for i, row in enumerate(rows)])))
        self.offer(name, fails=fails)

    def offer(self, name: str, *, fails: str = "") -> None:
        """Whatever was not taken in is offered again later."""
        table = dict(self.handed)[name]
        self.log.fails = fails
        try:
            # Of two hours in turn, as after a failure to deliver: a later hand-over may lie in the earlier hour.
            self.deliveries.keep(name, table, NOW_S + 3600 * (int(name[-1]) % 2))
        except OSError:
            pass
        finally:
            self.log.fails = ""
        if fails != "before" and not any(table is known for known in self.kept):
            self.kept.append(table)

    def begin_reading(self) -> None:
        self.begun, self.made = self.deliveries.reading(), None

    def read_files(self) -> None:
        if self.begun is not None:
            self.made = self.begun.ledger()

    def end_reading(self) -> None:
        if self.begun is not None:
            self.deliveries.take(self.begun, self.made or self.begun.ledger())
        self.begun = self.made = None

    def catch_up(self) -> None:
        self.follow()
        self.begin_reading()
        self.end_reading()

    def read(self) -> None:
        self.cursor, blocks = self.deliveries.evidence(2, self.cursor)
        self.blocks = [*self.blocks, *blocks]

    def save(self) -> None:
        self.saved = (self.cursor, self.blocks)

    def fall_back(self) -> None:
        """The reader was killed, and comes back with what it had saved."""
        self.cursor, self.blocks = self.saved

    def expected(self) -> list[Block]:
        """What a process that never ended makes of all that is durable."""
        ledger = EvidenceLedger(YARDSTICK)
        ledger.follow({2: 1})
        for number, table in enumerate(self.kept):
            ledger.add(number, table)
        return ledger.since(2, Cursor(since_epoch=1))[1]


@contextmanager
def world(*rollouts: RolloutRecord) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        yield World(Path(folder), *rollouts)


ROWS = st.builds(
    on,
    st.sampled_from(["canary", "champion", "shadow"]),
    unit=st.sampled_from("abcd"),
    epoch=st.sampled_from([0, 1, 2]),
    error=st.sampled_from([None, None, "boom"]),
    predict_ms=st.sampled_from([1.0, 200.0]),
    score=st.sampled_from([0.2, 0.8]),
)
FAILURES = ["", "", "before", "after"]
NAMES = [
    "restart",
    "follow",
    "begin_reading",
    "read_files",
    "end_reading",
    "catch_up",
    "read",
    "read",
    "save",
    "fall_back",
]
STEPS = st.one_of(
    st.tuples(
        st.just("hand_over"), st.lists(ROWS, min_size=1, max_size=4), st.sampled_from(["", "", "before", "after"])
    ),
    st.tuples(st.just("offer"), st.integers(0, 30)),
    st.tuples(st.sampled_from(NAMES)),
)


@settings(max_examples=80, deadline=None)
@given(steps=st.lists(STEPS, max_size=30))
def test_whatever_ends_a_reader_gets_each_block_once_and_in_order(steps: list[tuple[Any, ...]]) -> None:
    with world() as at:
        at.catch_up()
        for step, *arguments in steps:
            if step == "hand_over":
                at.hand_over(*arguments[0], fails=arguments[1])
            elif step == "offer":
                if at.handed:
                    at.offer(at.handed[arguments[0] % len(at.handed)][0])
            else:
                getattr(at, step)()
        at.catch_up()
        at.read()
        assert at.blocks == at.expected()


def test_what_nobody_had_read_before_a_restart_is_read_after_it() -> None:
    with world() as at:
        at.catch_up()
        at.hand_over(on("canary", unit="ada", error="boom"))
        at.read()
        at.hand_over(on("canary", unit="ada", error="boom"), on("canary", unit="bob", error="boom"))
        at.restart()
        at.catch_up()
        at.read()
        assert [block.canary_requests for block in at.blocks] == [1, 2]
        assert [(block.canary_errors, block.canary_repeated_errors) for block in at.blocks] == [(1, 0), (1, 1)]


def test_a_hand_over_that_is_repeated_after_a_restart_counts_once() -> None:
    with world() as at:
        at.catch_up()
        at.hand_over(on("canary"))
        at.restart()
        at.offer(at.handed[0][0])
        at.catch_up()
        at.offer(at.handed[0][0])
        at.read()
        assert [block.canary_requests for block in at.blocks] == [1]


def test_while_the_records_are_read_nobody_learns_anything_and_nothing_is_lost() -> None:
    with world() as at:
        at.catch_up()
        at.hand_over(on("canary"))
        at.restart()
        at.follow()
        at.begin_reading()
        at.hand_over(on("champion"))
        at.read()
        assert (at.blocks, at.cursor) == ([], Cursor(since_epoch=1))
        at.end_reading()
        at.read()
        assert [(block.canary_requests, block.champion_requests) for block in at.blocks] == [(1, 0), (0, 1)]


def test_what_becomes_durable_while_files_are_listed_counts_once() -> None:
    with world() as at:
        at.follow()
        at.begin_reading()
        at.hand_over(on("canary"))
        at.read_files()
        at.end_reading()
        at.read()
        assert [block.canary_requests for block in at.blocks] == [1]


def test_a_reading_that_began_before_another_is_not_taken() -> None:
    with world() as at:
        at.follow()
        first = at.deliveries.reading()
        at.hand_over(on("canary"))
        at.begin_reading()
        assert first is not None
        at.deliveries.take(first, EvidenceLedger(YARDSTICK))
        at.read()
        assert at.blocks == []
        at.end_reading()
        at.read()
        assert len(at.blocks) == 1


def test_with_nothing_under_delivery_nothing_has_to_be_read() -> None:
    with world() as at:
        at.deliveries.follow([])
        assert at.deliveries.reading() is None


@pytest.mark.parametrize("phase", ["WAITING", "STARTING"])
def test_before_requests_reach_the_version_nothing_has_to_be_read(phase: str) -> None:
    waiting = rollout(phase=phase)
    with world(waiting) as at:
        at.follow()
        assert at.deliveries.reading() is None
        at.hand_over(on("canary"))
        at.read()
        assert len(at.blocks) == 1


def test_before_the_store_was_asked_nothing_is_said() -> None:
    with world() as at:
        at.hand_over(on("canary"))
        assert at.deliveries.reading() is None
        at.read()
        assert at.blocks == []
        at.catch_up()
        at.read()
        assert len(at.blocks) == 1


def test_a_version_that_is_delivered_once_more_begins_anew() -> None:
    failing = {"unit": "ada", "error": "boom"}
    with world() as at:
        at.catch_up()
        at.hand_over(on("canary", **failing))
        at.hand_over(on("canary", epoch=7, **failing))
        at.rollouts = (rollout(created_s=NOW_S, state={"cursor": ["", 0, 6]}),)
        at.cursor = Cursor(since_epoch=6)
        at.catch_up()
        at.read()
        assert [block.canary_errors for block in at.blocks] == [1]


def test_a_version_that_joins_while_records_are_read_is_complete_too() -> None:
    with world(rollout(created_s=NOW_S, version=3)) as at:
        at.follow()
        at.hand_over(on("canary"))
        at.begin_reading()
        at.rollouts = (*at.rollouts, BEGUN)
        at.follow()
        at.end_reading()
        at.catch_up()
        at.read()
        assert len(at.blocks) == 1


def test_files_from_before_hand_overs_were_numbered_are_read() -> None:
    with world() as at:
        at.log.append_served("old", served(on("canary")), NOW_S)
        at.catch_up()
        at.read()
        assert [block.canary_requests for block in at.blocks] == [1]


def test_a_delivery_begins_when_requests_first_reach_the_version() -> None:
    history = [{"phase": "STARTING", "at_s": 1.0}, {"phase": "CANARY", "at_s": 5.0}, {"phase": "CANARY", "at_s": 9.0}]
    state = {"cursor": ["records", 17, 4], "rollout": {"history": history}}
    assert delivery_of(rollout(phase="PAUSED", state=state)) == Delivery(2, 4, 5.0)
    assert delivery_of(rollout(phase="WAITING", state=state)) == Delivery(2, 4, None)
