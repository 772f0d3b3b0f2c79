import itertools
import random
from collections.abc import Callable

import pytest

from mlops_ray.serve.batch_pace import BatchPace

FAST_S, SLOW_S = 0.001, 0.2


def pace(max_rows: int = 64, max_wait_s: float = 0.005, target_s: float = 0.05) -> BatchPace:
    return BatchPace(max_rows=max_rows, max_wait_s=max_wait_s, target_s=target_s)


def grown(subject: BatchPace, calls: int = 100, took_s: float = FAST_S) -> BatchPace:
    """After so many full batches."""
    for _ in range(calls):
        subject.finished(subject.limit, waited_s=0, took_s=took_s)
    return subject


def rushed(subject: BatchPace, every_s: float, rows: int = 1000) -> float:
    """After so many rows at this distance; the time of the last."""
    for i in range(rows):
        subject.arrived(1, now_s=i * every_s)
    return (rows - 1) * every_s


def test_the_first_call_has_one_row_and_does_not_wait() -> None:
    subject = pace()
    subject.arrived(1, now_s=0)
    assert (subject.limit, subject.wait_s(1, waited_s=0, now_s=0)) == (1, 0)


def test_full_batches_within_the_target_double_the_limit_up_to_the_maximum() -> None:
    subject = pace(max_rows=50)
    limits = [grown(subject, 1).limit for _ in range(7)]
    assert limits == [2, 4, 8, 16, 32, 50, 50]


def test_a_batch_that_was_not_full_does_not_let_the_limit_grow() -> None:
    subject = grown(pace(), 3)
    subject.finished(7, waited_s=0, took_s=FAST_S)
    assert subject.limit == 8


def test_a_call_that_takes_over_half_of_the_target_halves_the_limit() -> None:
    subject = grown(pace(), 4)
    subject.finished(16, waited_s=0, took_s=0.03)
    assert subject.limit == 8


def test_after_the_first_slow_call_the_limit_grows_step_by_step() -> None:
    subject = grown(pace(), 5)
    subject.finished(32, waited_s=0, took_s=SLOW_S)
    assert [grown(subject, 1).limit for _ in range(3)] == [18, 20, 22]


def test_the_limit_never_falls_below_one_row() -> None:
    subject = pace()
    for _ in range(10):
        subject.finished(1, waited_s=0, took_s=SLOW_S)
    assert subject.limit == 1


def test_a_single_request_above_the_limit_does_not_shrink_it() -> None:
    subject = grown(pace(), 3)
    subject.finished(5000, waited_s=0, took_s=SLOW_S)
    assert subject.limit == 8


def test_requests_that_waited_for_longer_than_the_target_are_caught_up_with_by_larger_batches() -> None:
    subject = grown(pace(), 3)
    subject.finished(8, waited_s=0.06, took_s=SLOW_S)
    assert subject.limit == 16


def test_without_batching_every_call_has_one_row_and_none_waits() -> None:
    subject = grown(pace(max_rows=1))
    now_s = rushed(subject, 0.0001)
    assert (subject.limit, subject.wait_s(1, waited_s=0, now_s=now_s)) == (1, 0)


def test_a_full_batch_does_not_wait() -> None:
    subject = grown(pace(), took_s=0.01)
    assert subject.wait_s(64, waited_s=0, now_s=rushed(subject, 0.0005)) == 0


def test_a_batch_waits_for_rows_that_come_faster_than_a_call_costs() -> None:
    subject = grown(pace(), took_s=0.004)
    assert subject.wait_s(3, waited_s=0, now_s=rushed(subject, 0.0005)) == pytest.approx(0.004)


def test_no_request_waits_for_longer_than_the_maximum() -> None:
    subject = grown(pace(), took_s=0.02)
    now_s = rushed(subject, 0.0005)
    assert subject.wait_s(3, waited_s=0, now_s=now_s) == pytest.approx(0.005)
    assert subject.wait_s(3, waited_s=0.004, now_s=now_s) == pytest.approx(0.001)
    assert subject.wait_s(3, waited_s=0.005, now_s=now_s) == 0


def test_rows_that_come_more_slowly_than_a_call_costs_are_not_waited_for() -> None:
    subject = grown(pace(), took_s=0.004)
    assert subject.wait_s(3, waited_s=0, now_s=rushed(subject, 0.01)) == 0


def test_a_rush_that_is_over_is_not_waited_for() -> None:
    subject = grown(pace(), took_s=0.004)
    assert subject.wait_s(3, waited_s=0, now_s=rushed(subject, 0.0005) + 2) == 0


def test_a_model_whose_calls_cost_only_by_the_row_is_not_kept_waiting() -> None:
    subject = pace()
    for rows in range(1, 65):
        subject.finished(rows, waited_s=0, took_s=rows * 0.0003)
    assert subject.wait_s(3, waited_s=0, now_s=rushed(subject, 0.0005)) == 0


def test_a_wait_leaves_time_to_predict_within_the_target() -> None:
    subject = grown(pace(max_wait_s=0.04), took_s=0.02)
    assert subject.wait_s(3, waited_s=0.025, now_s=rushed(subject, 0.0005)) == pytest.approx(0.005)


def simulated(subject: BatchPace, cost: Callable[[int], float], *, rate_per_s: float, seed: int) -> list[float]:
    """Seconds from the arrival of each request to its answer, one predictor and Poisson arrivals."""
    chance = random.Random(seed)
    arrivals = list(itertools.accumulate(chance.expovariate(rate_per_s) for _ in range(4000)))
    latencies: list[float] = []
    free_s, served, known = 0.0, 0, 0
    while served < len(arrivals):
        start_s = max(free_s, arrivals[served])
        known = max(known, served)
        while True:
            while known < len(arrivals) and arrivals[known] <= start_s:
                subject.arrived(1, now_s=arrivals[known])
                known += 1
            waiting = known - served
            wait_s = subject.wait_s(waiting, waited_s=start_s - arrivals[served], now_s=start_s)
            following_s = arrivals[known] if known < len(arrivals) else float("inf")
            if wait_s == 0 or following_s > start_s + wait_s:
                start_s += wait_s
                break
            start_s = following_s
        batch = min(waiting, subject.limit)
        free_s = start_s + cost(batch)
        subject.finished(batch, waited_s=start_s - arrivals[served], took_s=free_s - start_s)
        latencies += [free_s - arrived_s for arrived_s in arrivals[served : served + batch]]
        served += batch
    return latencies[1000:]


@pytest.mark.parametrize("rate_per_s", [20, 200, 1000])
@pytest.mark.parametrize("fixed_s", [0.0005, 0.004])
def test_waiting_and_predicting_stay_below_a_target_that_can_be_kept(fixed_s: float, rate_per_s: float) -> None:
    latencies = sorted(simulated(pace(), lambda rows: fixed_s + rows * 0.0002, rate_per_s=rate_per_s, seed=1))
    assert latencies[int(len(latencies) * 0.99)] < 0.05


def test_a_load_that_single_rows_could_not_carry_is_carried() -> None:
    # 5 ms a call and 1,000 requests a second: one by one would take five times the time there is
    latencies = simulated(pace(), lambda rows: 0.005 + rows * 0.0001, rate_per_s=1000, seed=2)
    assert max(latencies) < 0.05


def test_a_model_that_cannot_keep_the_target_still_catches_up() -> None:
    # a call takes longer than the target whatever it holds; ten rows must share one
    latencies = simulated(pace(), lambda rows: 0.08 + rows * 0.0001, rate_per_s=120, seed=3)
    assert max(latencies) < 0.5


def test_an_idle_service_answers_as_fast_as_the_model_does() -> None:
    latencies = sorted(simulated(pace(), lambda _: 0.001, rate_per_s=20, seed=4))
    assert latencies[int(len(latencies) * 0.9)] == pytest.approx(0.001)
