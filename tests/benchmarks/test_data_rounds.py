"""Interleaved rounds, and what is made of them."""

from collections.abc import Callable

import pytest

from benchmarks.data_rounds import interleave, time_ratio


def way(name: str, seconds: float, done: list[str], now: list[float], amount: int = 10) -> Callable[[], int]:
    def work() -> int:
        done.append(name)
        now[0] += seconds
        return amount

    return work


def test_every_way_is_taken_in_turn_after_a_round_that_does_not_count() -> None:
    done, now = list[str](), [0.0]
    ways = {"a": way("a", 1.0, done, now), "b": way("b", 4.0, done, now)}
    timed = interleave("part", ways, rounds=3, clock=lambda: now[0])
    assert "".join(done) == "abab" + "ba" + "ab"
    assert (timed["a"].rounds_s, timed["b"].median_s, timed["b"].per_s) == ((1.0, 1.0, 1.0), 4.0, 2.5)
    assert time_ratio(timed["b"], timed["a"]) == 4.0


def test_ways_that_do_not_do_the_same_are_refused() -> None:
    done, now = list[str](), [0.0]
    ways = {"a": way("a", 1.0, done, now), "b": way("b", 1.0, done, now, amount=9)}
    with pytest.raises(RuntimeError, match=r"same amount, found \[9, 10\]"):
        interleave("part", ways, rounds=1, clock=lambda: now[0])
