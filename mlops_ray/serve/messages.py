"""Many requests as few messages between replicas, each of bounded size; what the other side answers, apart again.

A message is plain arrays and lists, so that it is made and read in microseconds: one matrix of all rows instead of one
for each request. As bytes it is MessagePack, checked as it is read: nothing in it can run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlops_ray.serve.remote_version import Outcome

__all__ = [
    "Part",
    "Question",
    "Reply",
    "as_question",
    "as_reply",
    "joined",
    "outcomes_of",
    "parcels",
    "question_from_bytes",
    "question_to_bytes",
    "reply_from_bytes",
    "reply_to_bytes",
    "requests_of",
]

Matrix = NDArray[np.float64]
Question = tuple[NDArray[Any], list[int], list[float]]
"""All rows one under the other (of pictures as bytes, where every number is one), rows of each request, and the seconds
that each of them is of use."""
Reply = tuple[NDArray[np.float64], list[bool], list[str | None], list[float], list[float]]
"""Scores (n,) or (n, classes) of the requests that have some, one after the other; which have, error, queue and predict
milliseconds of each."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of the request at this position, all of them unless it is too large for one message."""

    position: int
    rows: slice


def parcels(matrices: Sequence[Matrix], *, max_bytes: int) -> list[list[Part]]:
    """Parts of the requests by message, in order; a request above `max_bytes` is split by rows.

    >>> small, large = np.zeros((2, 4)), np.zeros((5, 4))  # 32 bytes a row
    >>> [[(part.position, part.rows.stop) for part in parcel] for parcel in parcels([small, large], max_bytes=128)]
    [[(0, 2)], [(1, 4)], [(1, 5)]]
    """
    found: list[list[Part]] = []
    room = 0
    for position, matrix in enumerate(matrices):
        for rows in _slices(matrix, max_bytes):
            size = matrix[rows].nbytes
            if size > room or not found:
                found.append([])
                room = max_bytes
            found[-1].append(Part(position, rows))
            room -= size
    return found


def _slices(matrix: Matrix, max_bytes: int) -> Iterator[slice]:
    step = max(1, max_bytes // max(1, matrix.nbytes // max(1, len(matrix))))
    for start in range(0, len(matrix), step):
        yield slice(start, min(start + step, len(matrix)))


def as_question(parts: Sequence[Part], matrices: Sequence[Matrix], left_s: Sequence[float]) -> Question:
    """The message for these parts."""
    chosen = [matrices[part.position][part.rows] for part in parts]
    rows = chosen[0] if len(chosen) == 1 else np.concatenate(chosen)
    return _small(rows), [len(matrix) for matrix in chosen], [left_s[part.position] for part in parts]


def _small(rows: Matrix) -> NDArray[Any]:
    """Pixels of pictures take an eighth of the room; no table has so many columns that it is worth looking."""
    if rows.shape[1] < _WIDE:
        return rows
    with np.errstate(invalid="ignore"):  # what is no byte is found below
        small = rows.astype(np.uint8)
    return small if np.array_equal(small, rows) else rows


def requests_of(question: Question) -> tuple[list[Matrix], list[float]]:
    """Matrix of each request in a message, and the seconds each is of use."""
    rows, counts, left_s = question
    return _apart(rows if rows.dtype == np.float64 else rows.astype(np.float64), counts), left_s


def as_reply(outcomes: Sequence[Outcome]) -> Reply:
    """The message that answers a question."""
    scores = [scores for scores, _, _, _ in outcomes if scores is not None]
    whole = np.concatenate(scores) if scores else np.empty(0)
    answered = [scores is not None for scores, _, _, _ in outcomes]
    _, errors, queue_ms, predict_ms = zip(*outcomes, strict=True)
    return whole, answered, list(errors), list(queue_ms), list(predict_ms)


def outcomes_of(reply: Any, question: Question) -> list[Outcome]:
    """What a reply says of each request.

    Raises:
        ValueError: it does not fit the question.
    """
    scores, answered, errors, queue_ms, predict_ms = reply
    counts = [count for count, has in zip(question[1], answered, strict=True) if has]
    if len(scores) != sum(counts):
        raise ValueError(f"expected {sum(counts)} scores, found {len(scores)}")
    own = iter(_apart(np.asarray(scores), counts))
    columns = zip(answered, errors, queue_ms, predict_ms, strict=True)
    return [(next(own) if has else None, error, queue, predict) for has, error, queue, predict in columns]


def joined(parts: Sequence[Part], outcomes: Sequence[Outcome], *, requests: int) -> list[Outcome]:
    """The outcome of each request from those of its parts; one part that failed fails it."""
    by_request: list[list[Outcome]] = [[] for _ in range(requests)]
    for part, outcome in zip(parts, outcomes, strict=True):
        by_request[part.position].append(outcome)
    return [several[0] if len(several) == 1 else _one_of(several) for several in by_request]


def _one_of(several: Sequence[Outcome]) -> Outcome:
    scores = [scores for scores, _, _, _ in several if scores is not None]
    if len(scores) < len(several):
        return next(outcome for outcome in several if outcome[0] is None)
    # Its parts are asked for side by side: the longest wait is the request's, the work is the sum.
    return np.concatenate(scores), None, max(o[2] for o in several), sum(o[3] for o in several)


def _apart(rows: NDArray[np.float64], counts: Sequence[int]) -> list[NDArray[np.float64]]:
    if len(counts) == 1:
        return [rows]
    ends = np.cumsum(counts)
    return [rows[end - count : end] for end, count in zip(ends.tolist(), counts, strict=True)]


class _QuestionBytes(msgspec.Struct, array_like=True):
    """A question in transit; the rows one after the other as little-endian float64."""

    rows: bytearray
    columns: int
    counts: list[int]
    left_s: list[float]
    small: bool = False
    """The numbers are bytes."""


class _ReplyBytes(msgspec.Struct, array_like=True):
    scores: bytearray
    answered: list[bool]
    errors: list[str | None]
    queue_ms: list[float]
    predict_ms: list[float]
    columns: int = 0
    """Of scores that are several for a row; 0 where they are one."""


_WIDE = 1024
_FLOAT = np.dtype("<f8")
_question_decoder = msgspec.msgpack.Decoder(_QuestionBytes)
_reply_decoder = msgspec.msgpack.Decoder(_ReplyBytes)
_encoder = msgspec.msgpack.Encoder()


def question_to_bytes(question: Question) -> bytes:
    """The message as bytes; `question_from_bytes` reads it."""
    rows, counts, left_s = question
    return _encoder.encode(_packed_question(rows, counts, left_s))


def _packed_question(rows: NDArray[Any], counts: list[int], left_s: list[float]) -> _QuestionBytes:
    if rows.dtype == np.uint8:
        return _QuestionBytes(bytearray(np.ascontiguousarray(rows).data), rows.shape[1], counts, left_s, small=True)
    return _QuestionBytes(_packed(rows), rows.shape[1], counts, left_s)


def question_from_bytes(content: bytes) -> Question:
    """The message in `content`; its rows may be written to.

    Raises:
        ValueError: there is none, or its parts do not fit each other.
    """
    read = _question_decoder.decode(content)
    if len(read.counts) != len(read.left_s):
        raise ValueError(f"expected a time for each of {len(read.counts)} requests, found {len(read.left_s)}")
    kind = np.dtype(np.uint8) if read.small else _FLOAT
    rows = np.frombuffer(read.rows, dtype=kind).reshape(sum(read.counts), read.columns)
    return rows, read.counts, read.left_s


def reply_to_bytes(reply: Reply) -> bytes:
    """The message as bytes; `reply_from_bytes` reads it."""
    scores, answered, errors, queue_ms, predict_ms = reply
    columns = scores.shape[1] if scores.ndim == 2 else 0
    return _encoder.encode(_ReplyBytes(_packed(scores), answered, errors, queue_ms, predict_ms, columns))


def reply_from_bytes(content: bytes) -> Reply:
    """The message in `content`; whether it answers the question is for `outcomes_of` to say.

    Raises:
        ValueError: there is none.
    """
    read = _reply_decoder.decode(content)
    scores = np.frombuffer(read.scores, dtype=_FLOAT)
    if read.columns:
        scores = scores.reshape(-1, read.columns)
    return scores, read.answered, read.errors, read.queue_ms, read.predict_ms


def _packed(values: NDArray[np.float64]) -> bytearray:
    return bytearray(np.ascontiguousarray(values, dtype=_FLOAT).data)
