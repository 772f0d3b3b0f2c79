"""Every request of a soak is accounted for once."""

import numpy as np
import pytest

from benchmarks.accounting import STEADY, Episode, account, broken_promises, table
from benchmarks.steady_client import Request
from tests.benchmarks.samples import answered

EXPECTED = {1: np.array([0.5]), 2: np.array([0.7])}
PROMOTE = Episode("promote", 10.0, 20.0)
KILL = Episode("a replica killed", 15.0, 16.0)


def test_requests_belong_to_what_went_on_when_they_were_due() -> None:
    requests = [answered(9.0), answered(12.0), answered(15.5), answered(19.0), answered(20.0)]
    rows = account(requests, [PROMOTE, KILL], EXPECTED)
    assert [(row.episode, row.requests) for row in rows] == [("promote", 2), ("a replica killed", 1), (STEADY, 2)]


def test_episodes_of_one_name_are_one_row() -> None:
    rows = account([answered(1.0), answered(31.0)], [Episode("promote", 0, 2), Episode("promote", 30, 32)], EXPECTED)
    assert [(row.episode, row.times, row.requests) for row in rows] == [("promote", 2, 2)]


@pytest.mark.parametrize(
    ("request_", "failed", "wrong"),
    [
        (answered(12.0), 0, 0),
        (answered(12.0, version=2, score=0.7), 0, 0),
        (answered(12.0, score=0.6), 0, 1),
        (answered(12.0, version=3), 0, 1),
        (Request(0, 12.0, 13.0, error="HTTP 500"), 1, 0),
        (Request(0, 12.0), 1, 0),
    ],
    ids=["right", "another version", "wrong score", "version that must not answer", "error", "never ended"],
)
def test_an_answer_is_right_when_the_version_it_names_predicts_it(request_: Request, failed: int, wrong: int) -> None:
    (row,) = account([request_], [PROMOTE], EXPECTED)
    assert (row.failed, row.wrong) == (failed, wrong)
    assert bool(broken_promises([row])) == bool(failed or wrong)


def test_lost_attempts_are_counted_by_what_they_met() -> None:
    requests = [answered(12.0, lost=("in flight", "refused")), answered(12.1, lost=("503",)), answered(12.2)]
    (row,) = account(requests, [PROMOTE], EXPECTED)
    assert (row.retried, row.lost_in_flight, row.refused, row.http_503) == (2, 1, 1, 1)
    assert broken_promises([row]) == []


def test_the_longest_gap_is_that_between_two_answers_around_the_episode() -> None:
    requests = [answered(due_s) for due_s in (1.0, 4.0, 14.9, 17.0, 17.5)]
    rows = {row.episode: row for row in account(requests, [KILL, Episode("later", 17.2, 18.0)], EXPECTED)}
    assert set(rows) == {"later", STEADY}
    assert rows["later"].longest_gap_ms == pytest.approx(500)
    assert rows[STEADY].longest_gap_ms == pytest.approx(10_900)


def test_the_table_has_a_line_for_each_row() -> None:
    rows = account([answered(12.0), answered(15.5)], [PROMOTE, KILL], EXPECTED)
    assert [line.split("  ")[0] for line in table(rows).splitlines()[1:]] == ["promote", "a replica killed"]
