import asyncio
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from mlops_ray.serve.messages import (
    Question,
    Reply,
    as_question,
    as_reply,
    outcomes_of,
    parcels,
    question_from_bytes,
    question_to_bytes,
    reply_from_bytes,
    reply_to_bytes,
    requests_of,
)
from mlops_ray.serve.packed_version import PackedVersion
from mlops_ray.serve.remote_version import NO_ROOM, Outcome

WIDTH = 3
ROW_BYTES = 8 * WIDTH
Matrix = NDArray[np.float64]
matrices = st.lists(
    st.integers(1, 40).flatmap(lambda n: hnp.arrays(float, (n, WIDTH), elements=st.floats(-9, 9))),
    min_size=1,
    max_size=8,
)


class Channel:
    """The other side of a channel, with a limit on messages; `answer` is its model, for one request."""

    def __init__(self, limit: int, *, fails: Sequence[int] = ()) -> None:
        self.limit = limit
        self.fails = fails
        self.questions: list[Question] = []

    async def __call__(self, question: Question) -> Reply:
        number = len(self.questions)
        self.questions.append(question)
        assert question[0].nbytes <= max(self.limit, ROW_BYTES)
        await asyncio.sleep(0)
        if number in self.fails:
            raise ConnectionError("gone")
        requests, left_s = requests_of(self.travelled(question))
        assert len(requests) == len(left_s)
        return self.travelled_back(as_reply([self.answer(matrix) for matrix in requests]))

    def travelled(self, question: Question) -> Question:
        """As it comes out at the other end, by handle or over HTTP in turns."""
        if len(self.questions) % 2:
            return question_from_bytes(question_to_bytes(question))
        arrived: Question = pickle.loads(pickle.dumps(question))
        return arrived

    def travelled_back(self, reply: Reply) -> Reply:
        if len(self.questions) % 2:
            return reply_from_bytes(reply_to_bytes(reply))
        arrived: Reply = pickle.loads(pickle.dumps(reply))
        return arrived

    def answer(self, matrix: Matrix) -> Outcome:
        if matrix[0, 0] > 5:
            return None, f"{matrix[0, 0]} is too much", 0.0, 0.0
        return NO_ROOM if matrix[0, 0] < -5 else (matrix.sum(axis=1), None, 1.0, 2.0)


def ask(channel: Channel, requests: Sequence[Matrix], left_s: Sequence[float] | None = None) -> list[Any]:
    return asyncio.run(
        PackedVersion(channel, message_bytes=channel.limit).predict_many(requests, left_s or [1.0] * len(requests))
    )


@given(matrices, st.integers(1, 2000))
def test_parcels_hold_every_row_once_in_order_and_are_no_larger_than_allowed(
    requests: list[Matrix], limit: int
) -> None:
    found = parcels(requests, max_bytes=limit)
    flat = [part for parcel in found for part in parcel]
    for position, matrix in enumerate(requests):
        rows = [row for part in flat if part.position == position for row in range(len(matrix))[part.rows]]
        assert rows == list(range(len(matrix)))
    sizes = [sum(requests[part.position][part.rows].nbytes for part in parcel) for parcel in found]
    assert max(sizes) <= max(limit, ROW_BYTES)
    assert [part.position for part in flat] == sorted(part.position for part in flat)


@given(matrices, st.sampled_from([ROW_BYTES, 10 * ROW_BYTES, 10**6]))
def test_outcomes_are_the_same_however_the_requests_travel(requests: list[Matrix], limit: int) -> None:
    whole, split = Channel(10**9), Channel(limit)
    for (scores, error, *_), (own, why, *_), matrix in zip(
        ask(split, requests), ask(whole, requests), requests, strict=True
    ):
        first_rows_decide = limit >= matrix.nbytes or (np.abs(matrix[:, 0]) <= 5).all()
        if first_rows_decide:
            assert (error, scores is None) == (why, own is None)
            np.testing.assert_array_equal(scores, own)


def test_requests_that_fit_travel_in_one_message() -> None:
    channel = Channel(10**6)
    ask(channel, [np.ones((2, WIDTH)), np.ones((1, WIDTH))], [0.5, 0.25])
    ((rows, counts, left_s),) = channel.questions
    assert (rows.shape, counts, left_s) == ((3, WIDTH), [2, 1], [0.5, 0.25])


def test_a_large_request_comes_back_whole_with_the_longest_wait_and_all_of_the_work() -> None:
    channel = Channel(2 * ROW_BYTES)
    large = np.arange(15, dtype=float).reshape(5, WIDTH) / 10
    ((scores, error, queue_ms, predict_ms),) = ask(channel, [large])
    np.testing.assert_allclose(scores, large.sum(axis=1))
    assert (len(channel.questions), error, queue_ms, predict_ms) == (3, None, 1.0, 6.0)


def test_a_message_that_fails_fails_only_the_requests_in_it() -> None:
    channel = Channel(2 * ROW_BYTES, fails=[1])
    outcomes = ask(channel, [np.ones((2, WIDTH)), np.ones((3, WIDTH)), np.ones((2, WIDTH))])
    assert [error for _, error, _, _ in outcomes] == [None, "ConnectionError: gone", None]


def test_what_the_only_message_raises_is_raised() -> None:
    with pytest.raises(ConnectionError, match="gone"):
        ask(Channel(10**6, fails=[0]), [np.ones((1, WIDTH))])


def test_a_reply_that_does_not_fit_the_question_is_refused() -> None:
    class Forgetful(Channel):
        async def __call__(self, question: Question) -> Reply:
            scores, *rest = await super().__call__(question)
            return scores[1:], *rest  # type: ignore[return-value]

    with pytest.raises(ValueError, match="expected 3 scores, found 2"):
        ask(Forgetful(10**6), [np.ones((2, WIDTH)), np.ones((1, WIDTH))])


def test_rows_that_came_as_bytes_may_be_written_to_like_others() -> None:
    rows, _, _ = question_from_bytes(question_to_bytes((np.ones((2, WIDTH)), [2], [1.0])))
    rows += 1
    assert rows.tolist() == [[2.0] * WIDTH] * 2


def test_rows_that_are_a_view_arrive_as_they_are() -> None:
    view = np.arange(24.0).reshape(4, 6)[::2, ::2]
    rows, _, _ = question_from_bytes(question_to_bytes((view, [2], [1.0])))
    np.testing.assert_array_equal(rows, view)


several = st.lists(
    st.integers(1, 40).flatmap(lambda n: hnp.arrays(float, (n, 4), elements=st.floats(0, 1))), min_size=1, max_size=8
)


@given(several, st.lists(st.booleans(), min_size=8, max_size=8))
def test_scores_of_several_classes_come_back_as_they_were(scores: list[Matrix], answered: list[bool]) -> None:
    outcomes = [
        (own if has else None, None if has else "why", 1.0, 2.0) for own, has in zip(scores, answered, strict=False)
    ]
    question = (np.zeros((sum(map(len, scores)), WIDTH)), [len(own) for own in scores], [1.0] * len(scores))
    found = outcomes_of(reply_from_bytes(reply_to_bytes(as_reply(outcomes))), question)
    for (own, *rest), (expected, *others) in zip(found, outcomes, strict=True):
        assert rest == others
        assert (own is None) == (expected is None)
        np.testing.assert_array_equal(own, expected)


def test_a_reply_whose_columns_do_not_fit_is_refused() -> None:
    content = reply_to_bytes((np.zeros((3, 2)), [True], [None], [1.0], [1.0]))
    damaged = content[:-1] + b"\x04"  # the number of columns stands last
    with pytest.raises(ValueError, match="reshape"):
        reply_from_bytes(damaged)


@given(hnp.arrays(np.uint8, (3, 1024)), st.booleans())
def test_pixels_travel_as_bytes_and_arrive_as_numbers(pixels: NDArray[np.uint8], whole: bool) -> None:
    matrix = pixels.astype(float)
    matrix[0, 0] = 7.0 if whole else 7.5
    parts = parcels([matrix], max_bytes=10**6)
    question = as_question(parts[0], [matrix], [1.0])
    assert question[0].dtype == (np.uint8 if whole else np.float64)
    (arrived,), _ = requests_of(question_from_bytes(question_to_bytes(question)))
    assert arrived.dtype == np.float64
    np.testing.assert_array_equal(arrived, matrix)
