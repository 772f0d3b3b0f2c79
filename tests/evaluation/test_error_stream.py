"""The test on a stream of errors: exact in batches, patient without drift, quick with it."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_ray.evaluation import ErrorStream, ErrorTest

TEST = ErrorTest(base=0.2, rises=(0.02, 0.05, 0.1, 0.2), warning_run_length=1_000, run_length=100_000)


def plain(test: ErrorTest, errors: list[bool]) -> tuple[list[float], int, float]:
    """The same by one label after the other: sums, alarms, statistic."""
    sums, alarms, statistic = [0.0] * len(test.rises), 0, 0.0
    for error in errors:
        raw = [max(m, 0.0) + step for m, step in zip(sums, test.ratios[int(error)].tolist(), strict=True)]
        statistic = math.log(sum(math.exp(m) for m in raw) / len(raw))
        sums = [max(m, 0.0) for m in raw]
        if statistic >= math.log(test.run_length):
            sums, alarms = [0.0] * len(sums), alarms + 1
    return sums, alarms, statistic


@given(st.lists(st.booleans(), min_size=1, max_size=400), st.lists(st.integers(1, 60), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_a_stream_cut_into_any_batches_has_the_same_state_to_the_bit(errors: list[bool], cuts: list[int]) -> None:
    whole = ErrorStream().after(TEST, np.array(errors))
    state, place = ErrorStream(), 0
    for cut in [*cuts, len(errors)]:
        state = state.after(TEST, np.array(errors[place : place + cut], dtype=bool))
        place += cut
    assert state == whole


@given(st.lists(st.booleans(), min_size=1, max_size=300))
@settings(max_examples=40, deadline=None)
def test_it_is_the_recursion_of_the_paper(errors: list[bool]) -> None:
    sums, alarms, statistic = plain(TEST, errors)
    found = ErrorStream().after(TEST, np.array(errors))
    assert list(found.sums) == sums
    assert (found.alarms, found.seen, found.errors) == (alarms, len(errors), sum(errors))
    assert found.statistic == pytest.approx(statistic)


def test_a_state_survives_its_trip_through_json() -> None:
    state = ErrorStream().after(TEST, np.random.default_rng(0).random(777) < 0.4)
    assert ErrorStream.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_without_drift_the_mean_run_length_is_at_least_the_one_that_was_asked_for() -> None:
    test = ErrorTest(base=0.2, rises=(0.05, 0.1, 0.2), warning_run_length=100, run_length=1_000)
    found = ErrorStream().after(test, np.random.default_rng(1).random(1_000_000) < 0.2)
    assert 0 < found.alarms <= 1_000_000 / 1_000


def test_errors_that_stay_raise_no_alarm_at_the_defaults() -> None:
    found = ErrorStream().after(TEST, np.random.default_rng(2).random(200_000) < 0.19)
    assert found.alarms == 0


@pytest.mark.parametrize(("rate", "labels"), [(0.3, 1500), (0.4, 400), (0.7, 80)])
def test_more_errors_are_found_soon(rate: float, labels: int) -> None:
    generator = np.random.default_rng(3)
    found = ErrorStream().after(TEST, generator.random(20_000) < 0.2)
    assert found.after(TEST, generator.random(labels) < rate).level == "drift"


def test_errors_that_stay_frequent_raise_alarm_after_alarm() -> None:
    found = ErrorStream().after(TEST, np.random.default_rng(4).random(2_000) < 0.5)
    assert found.alarms > 5
    assert found.level == "drift"


def test_a_level_is_left_when_errors_are_as_rare_as_before() -> None:
    generator = np.random.default_rng(5)
    found = ErrorStream().after(TEST, generator.random(300) < 0.6)
    assert found.level == "drift"
    found = found.after(TEST, np.zeros(100, dtype=bool))
    assert found.level == "drift"
    assert found.after(TEST, generator.random(300) < 0.1).level == "stable"


def test_a_warning_comes_before_the_alarm() -> None:
    levels = []
    state = ErrorStream()
    for error in np.random.default_rng(6).random(200) < 0.5:
        state = state.after(TEST, np.array([error]))
        levels.append(state.level)
    assert levels.index("warning") < levels.index("drift")


def test_a_holdout_without_errors_does_not_make_one_error_proof() -> None:
    test = ErrorTest(base=0.0, rises=(0.05,), warning_run_length=1_000, run_length=100_000)
    assert ErrorStream().after(test, np.array([True])).level == "stable"


def test_it_finds_what_adwin_finds() -> None:
    drift = pytest.importorskip("river.drift", reason="river is compared with where it is installed")
    generator = np.random.default_rng(7)
    errors = np.concatenate([generator.random(5_000) < 0.2, generator.random(2_000) < 0.35])
    adwin, theirs = drift.ADWIN(delta=0.002), []
    state, ours = ErrorStream(), []
    for i, error in enumerate(errors.tolist()):
        adwin.update(int(error))
        if adwin.drift_detected:
            theirs.append(i)
        before, state = state.alarms, state.after(TEST, np.array([error]))
        if state.alarms > before:
            ours.append(i)
    assert ours
    assert theirs
    assert min(ours) > 5_000
    assert ours[0] <= theirs[0] + 200
