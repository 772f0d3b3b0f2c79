import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_ray.errors import DeadlineError, PredictionError, RequestError
from mlops_ray.serve.predicted import Predicted
from tests.serve.fake_time import START_S, run_in_fake_time
from tests.serve.test_batcher import LONG_S, Model, batcher, rows, scores


@dataclass(frozen=True)
class Request:
    """When it comes, how many rows it has and whether one is bad, its deadline, and when its client goes away."""

    at_s: float
    rows: int
    bad: bool
    deadline_s: float
    leaves_s: float

    @property
    def ends_s(self) -> float:
        """After this nobody waits for it."""
        return self.at_s + min(self.deadline_s, self.leaves_s)


@dataclass(frozen=True)
class World:
    """What comes, and what it meets."""

    requests: list[Request]
    max_rows: int
    max_wait_s: float
    grown: bool
    """Whether the limit is at its maximum from the first call."""
    call_s: float
    row_s: float
    max_waiting_rows: int


@dataclass(frozen=True)
class Story:
    """What became of each request after which time, in which order they were asked, and the calls that were made."""

    ends: list[tuple[Any, float]]
    asked: list[int]
    calls: list[tuple[float, list[int]]]
    """When, and whose rows."""


WORLDS = st.builds(
    World,
    requests=st.lists(
        st.builds(
            Request,
            at_s=st.integers(0, 60).map(lambda ms: ms / 1000),
            rows=st.integers(1, 4),
            bad=st.sampled_from([False, False, True]),
            deadline_s=st.sampled_from([0.004, 0.02, 0.05, LONG_S]),
            leaves_s=st.sampled_from([0.003, 0.015, 0.04, LONG_S, LONG_S, LONG_S]),
        ),
        min_size=1,
        max_size=25,
    ),
    max_rows=st.sampled_from([1, 2, 5, 64]),
    max_wait_s=st.sampled_from([0.0, 0.003, 0.02]),
    grown=st.booleans(),
    call_s=st.sampled_from([0.0, 0.001, 0.012]),
    row_s=st.sampled_from([0.0, 0.001]),
    max_waiting_rows=st.sampled_from([3, 1000]),
)


def own_rows(number: int, request: Request) -> list[float]:
    """The rows of a request: all different from each other's, one negative where it is bad."""
    values = [float(number * 10 + i) for i in range(request.rows)]
    return [*values[:-1], -number - 1.0] if request.bad else values


def happened(world: World) -> Story:
    async def client(number: int, request: Request) -> tuple[Any, float]:
        await asyncio.sleep(request.at_s)
        asked.append(number)
        asking = asyncio.create_task(subject.predict(rows(*own_rows(number, request)), deadline_s=request.deadline_s))
        loop = asyncio.get_running_loop()
        loop.call_later(request.leaves_s, asking.cancel)
        [outcome] = await asyncio.gather(asking, return_exceptions=True)
        return outcome, loop.time() - START_S - request.at_s

    async def scenario() -> list[tuple[Any, float]]:
        # on this loop a wait without an end is an error: nothing waits for ever
        return list(await asyncio.gather(*(client(i, request) for i, request in enumerate(world.requests))))

    asked: list[int] = []
    model = Model(world.call_s, world.row_s)
    subject = batcher(
        model.predict,
        max_rows=world.max_rows,
        max_wait_s=world.max_wait_s,
        limit=world.max_rows if world.grown else 1,
        max_waiting_rows=world.max_waiting_rows,
    )
    ends = run_in_fake_time(scenario())
    calls = [(at_s - START_S, [int(-v - 1 if v < 0 else v // 10) for v in values]) for at_s, values in model.began]
    return Story(ends, asked, calls)


@settings(max_examples=150)
@given(WORLDS)
def test_every_request_gets_the_scores_of_its_own_rows_or_its_own_error_in_time(world: World) -> None:
    for number, (outcome, took_s) in enumerate(happened(world).ends):
        request = world.requests[number]
        assert took_s <= request.ends_s - request.at_s + 1e-6
        match outcome:
            case Predicted():
                assert scores(outcome) == own_rows(number, request)
                assert not request.bad
                assert outcome.queue_ms + outcome.predict_ms == pytest.approx(took_s * 1000, abs=1e-6)
            case DeadlineError():
                assert took_s == pytest.approx(request.deadline_s)
            case PredictionError():
                assert request.bad
                assert str(outcome) == f"negative: {-number - 1}"
            case RequestError():
                assert (outcome.status, world.max_waiting_rows) == (503, 3)
            case _:
                assert isinstance(outcome, asyncio.CancelledError)
                assert took_s == pytest.approx(request.leaves_s)


@settings(max_examples=100)
@given(WORLDS)
def test_nothing_is_predicted_that_nobody_waits_for(world: World) -> None:
    for at_s, owners in happened(world).calls:
        assert all(at_s <= world.requests[owner].ends_s + 1e-6 for owner in owners)


@settings(max_examples=100)
@given(WORLDS)
def test_a_call_has_whole_requests_in_the_order_they_came_and_no_more_rows_than_the_maximum(world: World) -> None:
    story = happened(world)
    for _, owners in story.calls:
        assert len(owners) <= world.max_rows or len(set(owners)) == 1
        assert owners == sorted(owners, key=story.asked.index)
        assert all(owners.count(owner) == world.requests[owner].rows for owner in owners)
    if not any(request.bad for request in world.requests):
        firsts = [owners[0] for _, owners in story.calls]
        assert firsts == sorted(set(firsts), key=story.asked.index)
