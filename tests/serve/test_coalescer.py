import asyncio
import contextvars
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mlops_ray.errors import DeadlineError, PredictionError
from mlops_ray.serve.coalescer import Coalescer
from mlops_ray.serve.predicted import Predicted
from tests.serve.fake_time import run_in_fake_time
from tests.serve.remotes import Act, Kind, ScriptedVersion, now_s

NEVER = 1e6
MOMENT_S = 1e-6  # what rounding of times may add


def rows(first: float, count: int = 1) -> NDArray[np.float64]:
    """A request whose right scores are `first`, for each of its rows."""
    return np.full((count, 3), first)


def coalescer(remote: ScriptedVersion, wait_s: float = 0.001) -> Coalescer:
    return Coalescer(remote, who="canary version 2", wait_s=wait_s)


# -- any story ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    """One request of a story."""

    at_s: float
    rows: int
    timeout_s: float
    cancelled_after_s: float


@dataclass(frozen=True)
class End:
    """What became of it."""

    at_s: float
    outcome: Predicted | BaseException


times = st.integers(0, 40).map(lambda n: n / 1000)
asks = st.builds(
    Ask,
    at_s=times,
    rows=st.sampled_from([1, 1, 1, 2, 300]),
    timeout_s=st.integers(1, 50).map(lambda n: n / 1000),
    cancelled_after_s=st.one_of(st.just(NEVER), times),
)
kinds = st.sampled_from(Kind.__args__)  # type: ignore[attr-defined]
acts = st.builds(Act, kind=kinds, delay_s=times)


async def _ask(asked: Ask, number: int, to: Coalescer, ends: list[list[End]]) -> None:
    await asyncio.sleep(asked.at_s)
    outcome: Predicted | BaseException
    try:
        outcome = await to.ask(rows(number, asked.rows), timeout_s=asked.timeout_s)
    except (PredictionError, asyncio.CancelledError) as error:
        outcome = error
    ends[number].append(End(now_s(), outcome))


async def _tell(story: list[Ask], to: Coalescer) -> list[list[End]]:
    loop = asyncio.get_running_loop()
    ends: list[list[End]] = [[] for _ in story]
    tasks = [loop.create_task(_ask(asked, number, to, ends)) for number, asked in enumerate(story)]
    for asked, task in zip(story, tasks, strict=True):
        if asked.cancelled_after_s < NEVER:  # like a client that goes away
            loop.call_later(asked.at_s + asked.cancelled_after_s, task.cancel)
    await asyncio.sleep(1)
    assert asyncio.all_tasks() == {asyncio.current_task()}, "calls are left over"
    return ends


@given(st.lists(asks, max_size=30), st.lists(acts, min_size=1, max_size=6), st.sampled_from([0.0, 0.001, 0.01]))
def test_every_request_ends_once_in_time_with_its_own_scores_or_an_error_and_travels_at_most_once(
    story: list[Ask], script: list[Act], wait_s: float
) -> None:
    remote = ScriptedVersion(script)
    ends = run_in_fake_time(_tell(story, coalescer(remote, wait_s)))
    travelled = {int(matrix[0, 0]): i for i, call in enumerate(remote.calls) for matrix in call}
    assert len(travelled) == sum(map(len, remote.calls))
    for number, (asked, told) in enumerate(zip(story, ends, strict=True)):
        if asked.cancelled_after_s == 0.0 and not told:
            continue  # cancelled before it asked
        (end,) = told
        _assert_sound(number, asked, end)
        if number in travelled:
            assert remote.begun_s[travelled[number]] <= asked.at_s + wait_s + MOMENT_S
            assert end.at_s <= remote.ended_s.get(travelled[number], NEVER) + MOMENT_S
        else:  # nobody is told that there was no answer who was not asked for
            assert isinstance(end.outcome, asyncio.CancelledError)
    assert remote.running == 0


def _assert_sound(number: int, asked: Ask, end: End) -> None:
    assert end.at_s <= asked.at_s + asked.timeout_s + MOMENT_S
    if isinstance(end.outcome, Predicted):
        assert end.outcome.scores.tolist() == [number] * asked.rows
    elif isinstance(end.outcome, DeadlineError):
        assert end.at_s >= asked.at_s + asked.timeout_s - MOMENT_S
    elif isinstance(end.outcome, asyncio.CancelledError):
        assert asked.cancelled_after_s < NEVER
    else:
        assert isinstance(end.outcome, PredictionError)


@given(st.lists(st.tuples(times, st.sampled_from([1, 2, 300])), min_size=1, max_size=60), st.lists(times, min_size=1))
def test_with_a_sound_version_everybody_is_answered_and_travels_exactly_once(
    story: list[tuple[float, int]], delays: list[float]
) -> None:
    remote = ScriptedVersion([Act(delay_s=delay) for delay in delays])
    patient = [Ask(at_s, count, timeout_s=0.2, cancelled_after_s=NEVER) for at_s, count in story]
    ends = run_in_fake_time(_tell(patient, coalescer(remote)))
    answers = [end.outcome for told in ends for end in told]
    assert [a.scores[0] for a in answers if isinstance(a, Predicted)] == list(range(len(story)))
    assert sorted(int(matrix[0, 0]) for call in remote.calls for matrix in call) == list(range(len(story)))


@given(st.lists(asks, min_size=1, max_size=20), acts)
def test_who_goes_away_changes_nothing_for_the_others(story: list[Ask], act: Act) -> None:
    stays = [Ask(a.at_s, 1, 0.2, NEVER) for a in story]
    leaves = [Ask(a.at_s, 1, a.timeout_s, a.cancelled_after_s) for a in story]
    alone = run_in_fake_time(_tell(stays, coalescer(ScriptedVersion([act]))))
    among = run_in_fake_time(_tell(stays + leaves, coalescer(ScriptedVersion([act]))))[: len(stays)]
    scores = [[getattr(end.outcome, "scores", None) is not None for end in told] for told in alone]
    if act.kind in ("answers", "raises", "hangs"):  # the other acts strike every second request of a call
        assert [[getattr(e.outcome, "scores", None) is not None for e in told] for told in among] == scores


# -- one thing at a time -----------------------------------------------------------------------------------------------


async def _all(to: Coalescer, count: int, *, timeout_s: float = 1.0) -> list[Predicted]:
    return await asyncio.gather(*(to.ask(rows(i), timeout_s=timeout_s) for i in range(count)))


@pytest.mark.parametrize("wait_s", [0.0, 0.001])
def test_requests_of_one_moment_travel_in_one_call(wait_s: float) -> None:
    remote = ScriptedVersion()
    answers = run_in_fake_time(_all(coalescer(remote, wait_s), 10))
    assert [answer.scores.tolist() for answer in answers] == [[i] for i in range(10)]
    assert (answers[3].queue_ms, answers[3].predict_ms) == (0.25, 0.5)
    assert len(remote.calls) == 1


def test_a_call_carries_no_more_than_64_requests() -> None:
    remote = ScriptedVersion()
    run_in_fake_time(_all(coalescer(remote), 150))
    assert [len(call) for call in remote.calls] == [64, 64, 22]


def test_a_large_request_travels_alone_and_at_once() -> None:
    remote = ScriptedVersion()

    async def story() -> None:
        to = coalescer(remote, wait_s=0.01)
        sizes = [1, 60_000]
        await asyncio.gather(*(to.ask(rows(i, size), timeout_s=1) for i, size in enumerate(sizes)))

    run_in_fake_time(story())
    assert [[len(matrix) for matrix in call] for call in remote.calls] == [[1], [60_000]]
    assert remote.begun_s == pytest.approx([0.0, 0.0])


def test_a_request_with_little_time_waits_for_no_company() -> None:
    remote = ScriptedVersion()
    run_in_fake_time(_all(coalescer(remote, wait_s=0.05), 1, timeout_s=0.1))
    assert remote.begun_s == pytest.approx([0.0])


def test_a_request_that_was_given_up_does_not_travel() -> None:
    remote = ScriptedVersion()

    async def story() -> None:
        to, loop = coalescer(remote, wait_s=0.01), asyncio.get_running_loop()
        gone = loop.create_task(to.ask(rows(1), timeout_s=1))
        loop.call_later(0.005, gone.cancel)
        await to.ask(rows(2), timeout_s=1)
        assert gone.cancelled()

    run_in_fake_time(story())
    assert [[matrix[0, 0] for matrix in call] for call in remote.calls] == [[2.0]]


def test_calls_go_on_beside_one_that_hangs() -> None:
    remote = ScriptedVersion([Act("hangs"), Act()])

    async def story() -> list[float]:
        to, loop = coalescer(remote), asyncio.get_running_loop()
        stuck = loop.create_task(to.ask(rows(1), timeout_s=0.3))
        await asyncio.sleep(0.01)
        scores = (await to.ask(rows(2), timeout_s=0.3)).scores.tolist()
        assert now_s() < 0.02
        with pytest.raises(DeadlineError, match="canary version 2 gave no answer within 300 ms"):
            await stuck
        return scores

    assert run_in_fake_time(story()) == [2.0]


def test_a_call_that_nobody_waits_for_is_cancelled() -> None:
    remote = ScriptedVersion([Act("hangs")])

    async def story() -> None:
        to = coalescer(remote)
        ends = await asyncio.gather(*(to.ask(rows(i), timeout_s=0.1 + i) for i in range(2)), return_exceptions=True)
        assert all(isinstance(end, DeadlineError) for end in ends)
        await asyncio.sleep(0.01)
        assert (remote.running, remote.cancelled, now_s() < 1.2) == (0, 1, True)

    run_in_fake_time(story())


def test_what_a_call_raises_is_told_to_everybody_in_it() -> None:
    async def story() -> list[str]:
        to = coalescer(ScriptedVersion([Act("raises")]))
        return [
            str(e)
            for e in await asyncio.gather(*(to.ask(rows(i), timeout_s=1) for i in range(3)), return_exceptions=True)
        ]

    assert run_in_fake_time(story()) == ["canary version 2 failed: ConnectionError: replica is gone"] * 3


def test_one_bad_request_takes_only_its_own_scores_away() -> None:
    async def story() -> list[object]:
        to = coalescer(ScriptedVersion([Act("some errors")]))
        return await asyncio.gather(*(to.ask(rows(i), timeout_s=1) for i in range(3)), return_exceptions=True)

    first, second, third = run_in_fake_time(story())
    assert (str(first), str(third)) == ("bad row", "bad row")
    assert isinstance(second, Predicted)


def test_a_call_is_made_in_nobodys_context() -> None:
    # Ray Serve cancels what a request has asked for when its client goes away, and finds it by the context.
    whose = contextvars.ContextVar("whose", default="nobody's")
    seen: list[str] = []

    class Looks(ScriptedVersion):
        async def predict_many(self, matrices, left_s):  # type: ignore[no-untyped-def]
            seen.append(whose.get())
            return await super().predict_many(matrices, left_s)

    async def story() -> None:
        whose.set("the client's")
        await coalescer(Looks()).ask(rows(1), timeout_s=1)

    run_in_fake_time(story())
    assert seen == ["nobody's"]
