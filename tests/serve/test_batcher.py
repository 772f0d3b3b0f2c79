import asyncio
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_ray.errors import DeadlineError, PredictionError, RequestError
from mlops_ray.serve.batch_pace import BatchPace
from mlops_ray.serve.batcher import Batcher
from mlops_ray.serve.predicted import Predicted
from tests.serve.fake_time import FakeTimeLoop, run_in_fake_time

Matrix = NDArray[np.float64]
LONG_S = 1000.0


@dataclass
class Model:
    """Answers the first column, refuses any batch with a negative value, and remembers its batches."""

    call_s: float = 0.0
    row_s: float = 0.0
    began: list[tuple[float, list[float]]] = field(default_factory=list)

    async def predict(self, matrix: Matrix) -> Matrix:
        self.began.append((asyncio.get_running_loop().time(), matrix[:, 0].tolist()))
        await asyncio.sleep(self.call_s + self.row_s * len(matrix))
        if (matrix < 0).any():
            raise PredictionError(f"negative: {matrix.min():g}")
        return matrix[:, 0].copy()

    @property
    def sizes(self) -> list[int]:
        return [len(rows) for _, rows in self.began]


def batcher(
    predict: Callable[[Matrix], Awaitable[Matrix]],
    *,
    max_rows: int = 64,
    max_wait_s: float = 0.005,
    max_waiting_rows: int = 10_000,
    limit: int | None = None,
) -> Batcher:
    """One whose limit has grown to `limit`, or to its maximum."""
    pace = BatchPace(max_rows=max_rows, max_wait_s=max_wait_s, target_s=10.0)
    while pace.limit < (limit or max_rows):
        pace.finished(pace.limit, waited_s=0, took_s=0.0001)
    return Batcher("model", predict, pace=pace, max_waiting_rows=max_waiting_rows)


def rows(*values: float) -> Matrix:
    return np.array([[v] for v in values])


async def ask(subject: Batcher, *requests: Matrix, deadline_s: float = LONG_S) -> list[Predicted | BaseException]:
    return await asyncio.gather(*(subject.predict(r, deadline_s=deadline_s) for r in requests), return_exceptions=True)


def scores(answer: object) -> list[float]:
    assert isinstance(answer, Predicted), answer
    values: list[float] = answer.scores.tolist()
    return values


def test_requests_that_arrive_together_are_one_batch() -> None:
    model = Model()
    answers = run_in_fake_time(ask(batcher(model.predict, max_rows=10), rows(1), rows(2, 3), rows(4)))
    assert model.sizes == [4]
    assert [scores(answer) for answer in answers] == [[1], [2, 3], [4]]


def test_a_lonely_request_does_not_wait() -> None:
    [answer] = run_in_fake_time(ask(batcher(Model(call_s=0.02).predict), rows(7)))
    assert isinstance(answer, Predicted)
    assert answer.queue_ms == 0
    assert answer.predict_ms == pytest.approx(20)


def test_requests_that_come_during_a_call_go_together_into_the_next() -> None:
    async def scenario() -> None:
        first = asyncio.create_task(subject.predict(rows(0), deadline_s=LONG_S))
        await asyncio.sleep(0.01)
        await asyncio.gather(first, ask(subject, *(rows(i) for i in range(1, 6))))

    model = Model(call_s=0.02)
    subject = batcher(model.predict)
    run_in_fake_time(scenario())
    assert model.sizes == [1, 5]


def test_queue_time_and_predict_time_are_each_requests_own() -> None:
    async def scenario() -> list[Predicted]:
        async def later(wait_s: float) -> Predicted:
            await asyncio.sleep(wait_s)
            return await subject.predict(rows(wait_s), deadline_s=LONG_S)

        return list(await asyncio.gather(later(0), later(0.005), later(0.015)))

    subject = batcher(Model(call_s=0.02).predict)
    answers = run_in_fake_time(scenario())
    assert [answer.queue_ms for answer in answers] == [0, pytest.approx(15), pytest.approx(5)]
    assert [answer.predict_ms for answer in answers] == [pytest.approx(20)] * 3


def test_a_batch_has_no_more_rows_than_the_limit_unless_one_request_has() -> None:
    model = Model()
    requests = [rows(*range(n)) for n in (3, 3, 9, 1, 2, 2)]
    run_in_fake_time(ask(batcher(model.predict, max_rows=4), *requests))
    assert model.sizes == [3, 3, 9, 3, 2]


def test_the_first_batch_of_a_rush_is_small_and_the_next_ones_grow() -> None:
    model = Model(call_s=0.001)
    run_in_fake_time(ask(batcher(model.predict, limit=1), *(rows(i) for i in range(100))))
    assert model.sizes == [1, 2, 4, 8, 16, 32, 37]


def test_a_batch_that_waits_for_more_begins_when_it_is_full() -> None:
    async def scenario() -> list[Predicted]:
        answers = []
        for _ in range(20):
            async with asyncio.TaskGroup() as tasks:
                asked = []
                for i in range(5):
                    asked.append(tasks.create_task(subject.predict(rows(i), deadline_s=LONG_S)))
                    await asyncio.sleep(0.001)
            answers = [task.result() for task in asked]
        return answers

    model = Model(call_s=0.01)
    subject = batcher(model.predict, max_rows=5, max_wait_s=1.0)
    answers = run_in_fake_time(scenario())
    assert model.sizes[-3:] == [5, 5, 5]
    assert [answer.queue_ms for answer in answers] == [pytest.approx(ms) for ms in (4, 3, 2, 1, 0)]


def test_a_request_past_its_deadline_is_answered_so_and_never_predicted() -> None:
    async def scenario() -> BaseException | Predicted:
        blocking = asyncio.create_task(subject.predict(rows(1), deadline_s=LONG_S))
        await asyncio.sleep(0.1)
        [late] = await ask(subject, rows(2), deadline_s=0.5)
        ended_s.append(asyncio.get_running_loop().time())
        await blocking
        await subject.predict(rows(3), deadline_s=LONG_S)
        return late

    ended_s: list[float] = []
    model = Model(call_s=2)
    subject = batcher(model.predict)
    late = run_in_fake_time(scenario())
    assert isinstance(late, DeadlineError)
    assert str(late) == "model gave no answer within 500 ms"
    assert ended_s == [pytest.approx(1000.6)]
    assert [batch for _, batch in model.began] == [[1], [3]]


def test_a_deadline_that_passed_while_the_loop_was_busy_elsewhere_counts_too() -> None:
    async def blocking(matrix: Matrix) -> Matrix:
        answer = await model.predict(matrix)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, FakeTimeLoop)
        loop.now_s += 5
        return answer

    async def scenario() -> BaseException | Predicted:
        first = asyncio.create_task(subject.predict(rows(1), deadline_s=LONG_S))
        await asyncio.sleep(0.001)
        [late] = await ask(subject, rows(2), deadline_s=1)
        await first
        return late

    model = Model(call_s=0.01)
    subject = batcher(blocking)
    assert isinstance(run_in_fake_time(scenario()), DeadlineError)
    assert model.sizes == [1]


@pytest.mark.parametrize("deadline_s", [0.0, -1.0])
def test_a_request_without_any_time_left_is_not_taken(deadline_s: float) -> None:
    model = Model()
    [answer] = run_in_fake_time(ask(batcher(model.predict), rows(1), deadline_s=deadline_s))
    assert isinstance(answer, DeadlineError)
    assert model.began == []


def test_a_call_that_never_ends_leaves_no_request_waiting_for_ever() -> None:
    async def never(_: Matrix) -> Matrix:
        return await asyncio.get_running_loop().create_future()

    answers = run_in_fake_time(ask(batcher(never), *(rows(i) for i in range(5)), deadline_s=3))
    assert all(isinstance(answer, DeadlineError) for answer in answers)


def test_a_request_that_gave_up_costs_the_others_of_its_batch_nothing() -> None:
    async def scenario() -> list[float]:
        hasty = asyncio.create_task(subject.predict(rows(1), deadline_s=LONG_S))
        patient = asyncio.create_task(subject.predict(rows(2), deadline_s=LONG_S))
        await asyncio.sleep(0.01)
        hasty.cancel()
        return scores(await patient)

    subject = batcher(Model(call_s=0.05).predict)
    assert run_in_fake_time(scenario()) == [2]


def test_a_request_that_gave_up_in_the_queue_is_not_predicted() -> None:
    async def scenario() -> None:
        first = asyncio.create_task(subject.predict(rows(1), deadline_s=LONG_S))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(subject.predict(rows(2), deadline_s=LONG_S))
        await asyncio.sleep(0.01)
        second.cancel()
        await first
        await subject.predict(rows(3), deadline_s=LONG_S)

    model = Model(call_s=0.05)
    subject = batcher(model.predict)
    run_in_fake_time(scenario())
    assert [batch for _, batch in model.began] == [[1], [3]]


def test_a_request_that_gave_up_leaves_its_place_to_others() -> None:
    async def scenario() -> list[Predicted]:
        running = asyncio.create_task(subject.predict(rows(0), deadline_s=LONG_S))
        await asyncio.sleep(0.01)
        left = asyncio.create_task(subject.predict(rows(1, 2, 3), deadline_s=LONG_S))
        await asyncio.sleep(0.01)
        left.cancel()
        await asyncio.sleep(0)
        return list(await asyncio.gather(running, subject.predict(rows(4, 5), deadline_s=LONG_S)))

    subject = batcher(Model(call_s=0.05).predict, max_waiting_rows=4)
    assert [scores(answer) for answer in run_in_fake_time(scenario())] == [[0], [4, 5]]


def test_nothing_of_an_answered_request_is_kept_until_its_deadline() -> None:
    async def scenario() -> bool:
        matrix = rows(1)
        kept = weakref.ref(matrix)
        await subject.predict(matrix, deadline_s=LONG_S)
        del matrix
        return kept() is None

    subject = batcher(Model().predict)
    assert run_in_fake_time(scenario())


def test_more_rows_than_may_wait_are_refused_with_503_and_wait_again_when_there_is_room() -> None:
    async def scenario() -> list[Any]:
        running = asyncio.create_task(subject.predict(rows(0), deadline_s=LONG_S))
        await asyncio.sleep(0.01)
        waiting = asyncio.create_task(subject.predict(rows(1, 2, 3), deadline_s=LONG_S))
        await asyncio.sleep(0)
        refused = (await ask(subject, rows(4, 5)))[0]
        taken = await ask(subject, rows(6))
        await asyncio.gather(running, waiting)
        return [refused, *taken, *(await ask(subject, rows(*range(50))))]

    subject = batcher(Model(call_s=0.05).predict, max_waiting_rows=4)
    refused, taken, large = run_in_fake_time(scenario())
    assert isinstance(refused, RequestError)
    assert refused.status == 503
    assert refused.message == "model has 3 rows waiting, and keeps at most 4; ask again in a moment"
    assert scores(taken) == [6]
    assert len(scores(large)) == 50  # nobody else waits: more than the bound may come at once


# at most two calls for each halving, and one where the first half was fine: the other has to fail then
@pytest.mark.parametrize(("bad", "calls"), [(0, 1 + 2 * 5), (31, 1 + 5 + 1), (15, 1 + 2 + 4 + 1)])
def test_a_bad_row_is_found_in_the_logarithm_of_its_batch(bad: int, calls: int) -> None:
    model = Model()
    answers = run_in_fake_time(ask(batcher(model.predict), *(rows(-1 if i == bad else i) for i in range(32))))
    assert [i for i, answer in enumerate(answers) if isinstance(answer, PredictionError)] == [bad]
    assert all(scores(answer) == [i] for i, answer in enumerate(answers) if i != bad)
    assert len(model.began) == calls


def test_each_bad_request_of_a_batch_sees_its_own_error() -> None:
    answers = run_in_fake_time(ask(batcher(Model().predict), rows(-1), rows(2), rows(-3), rows(4, -5), rows(6)))
    assert [str(answer) for answer in answers if isinstance(answer, PredictionError)] == [
        "negative: -1",
        "negative: -3",
        "negative: -5",
    ]


def test_an_error_nobody_foresaw_reaches_every_request_of_the_batch_and_the_next_batch_is_fine() -> None:
    async def broken(matrix: Matrix) -> Matrix:
        if matrix[0, 0] == 1:
            raise MemoryError("too much")
        return matrix[:, 0]

    async def scenario() -> list[Any]:
        return [*(await ask(subject, rows(1), rows(2))), *(await ask(subject, rows(3)))]

    subject = batcher(broken)
    first, second, third = run_in_fake_time(scenario())
    assert isinstance(first, MemoryError)
    assert isinstance(second, MemoryError)
    assert scores(third) == [3]
