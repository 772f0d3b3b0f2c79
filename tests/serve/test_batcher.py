import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mlops_ray.errors import PredictionError
from mlops_ray.serve.batcher import Batcher
from tests.serve.samples import run

Matrix = NDArray[np.float64]


class Model:
    """Answers the first column, refuses any batch with a negative value, and remembers the sizes of its batches."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.batches: list[int] = []
        self._takes_s = takes_s

    async def predict(self, matrix: Matrix) -> Matrix:
        self.batches.append(len(matrix))
        await asyncio.sleep(self._takes_s)
        if (matrix < 0).any():
            raise PredictionError("negative")
        return matrix[:, 0].copy()


def rows(*values: float) -> Matrix:
    return np.array([[v] for v in values])


async def ask(batcher: Batcher, *requests: Matrix) -> list[Matrix | BaseException]:
    return await asyncio.gather(*(batcher.predict(r) for r in requests), return_exceptions=True)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(-1, 100), min_size=1, max_size=4), min_size=1, max_size=12), st.integers(1, 9))
def test_every_request_gets_its_own_rows_in_order_whatever_it_shared_a_batch_with(
    requests: list[list[int]], max_rows: int
) -> None:
    answers = run(ask(Batcher(Model().predict, max_rows=max_rows, max_wait_s=0.001), *(rows(*r) for r in requests)))
    for request, answer in zip(requests, answers, strict=True):
        if min(request) < 0:
            assert isinstance(answer, PredictionError)
        else:
            assert isinstance(answer, np.ndarray)
            assert answer.tolist() == request


def test_requests_that_arrive_together_are_one_batch() -> None:
    model = Model()
    run(ask(Batcher(model.predict, max_rows=10, max_wait_s=0.01), rows(1), rows(2, 3), rows(4)))
    assert model.batches == [4]


def test_a_full_batch_does_not_wait() -> None:
    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        await ask(Batcher(Model().predict, max_rows=2, max_wait_s=30), rows(1), rows(2))
        return loop.time() - started_s

    assert run(scenario()) < 5


def test_a_lonely_request_waits_no_longer_than_allowed() -> None:
    answers = run(ask(Batcher(Model().predict, max_rows=100, max_wait_s=0.02), rows(7)))
    assert isinstance(answers[0], np.ndarray)
    assert answers[0].tolist() == [7]


def test_a_request_that_gave_up_costs_the_others_of_its_batch_nothing() -> None:
    async def scenario() -> Matrix:
        batcher = Batcher(Model(takes_s=0.05).predict, max_rows=2, max_wait_s=1)
        hasty = asyncio.create_task(asyncio.wait_for(batcher.predict(rows(1)), 0.01))
        patient = asyncio.create_task(batcher.predict(rows(2)))
        with pytest.raises(TimeoutError):
            await hasty
        return await patient

    assert run(scenario()).tolist() == [2]


def test_an_error_nobody_foresaw_reaches_every_request_of_the_batch() -> None:
    async def broken(_: Matrix) -> Matrix:
        raise MemoryError("too much")

    answers = run(ask(Batcher(broken, max_rows=2, max_wait_s=1), rows(1), rows(2)))
    assert all(isinstance(answer, MemoryError) for answer in answers)
