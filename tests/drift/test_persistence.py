"""Alerts are raised when k of m judgements agree, and resolved when none of m does."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.drift import DriftReport, FeatureDrift, Persistence
from mlops_ray.verdict import Verdict


def report(**drifted: bool) -> DriftReport:
    """A judgement of the named features."""
    features = tuple(FeatureDrift(name, 0, 0, 0, 1, 0.1, 0.1, 0.1, drifted=flag) for name, flag in drifted.items())
    return DriftReport(Verdict.FAIL if any(drifted.values()) else Verdict.PASS, 500, features, "")


def course(flags: list[bool], persist: tuple[int, int]) -> list[str]:
    """What happens to one feature at each judgement: "+" raised, "-" resolved, "." nothing."""
    persistence, told = Persistence.none(), []
    for flag in flags:
        persistence, raised, resolved = persistence.update(report(x=flag), persist=persist)
        told.append("+" if raised else "-" if resolved else ".")
    return told


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("01011000", "...+...-"),
        ("01001001", "........"),
        ("11000110", ".+..-.+."),
        ("11010010", ".+......"),
    ],
)
def test_two_of_three_raise_and_none_of_three_resolves(flags: str, expected: str) -> None:
    assert "".join(course([flag == "1" for flag in flags], (2, 3))) == expected


def test_one_of_one_follows_each_judgement() -> None:
    assert "".join(course([True, True, False, True], (1, 1))) == "+.-+"


@given(st.lists(st.booleans(), max_size=40), st.sampled_from([(1, 1), (1, 3), (2, 3), (3, 5)]))
def test_raised_and_resolved_take_turns(flags: list[bool], persist: tuple[int, int]) -> None:
    told = [mark for mark in course(flags, persist) if mark != "."]
    assert told == ["+", "-"] * (len(told) // 2) + ["+"] * (len(told) % 2)


def test_an_inconclusive_report_changes_nothing() -> None:
    persistence, _, _ = Persistence.none().update(report(x=True), persist=(2, 3))
    silent = DriftReport(Verdict.INCONCLUSIVE, 3, (), "")
    assert persistence.update(silent, persist=(2, 3)) == (persistence, (), ())


def test_features_are_counted_apart() -> None:
    persistence, raised, _ = Persistence.none().update(report(x=True, y=False), persist=(1, 2))
    assert (raised, persistence.raised) == (("x",), frozenset({"x"}))
    _, raised, _ = persistence.update(report(x=True, y=True), persist=(1, 2))
    assert raised == ("y",)


def test_a_feature_no_longer_judged_keeps_its_state() -> None:
    persistence, _, _ = Persistence.none().update(report(x=True), persist=(1, 1))
    persistence, _, resolved = persistence.update(report(y=False), persist=(1, 1))
    assert (persistence.raised, resolved) == (frozenset({"x"}), ())


def test_persistence_survives_json() -> None:
    persistence, _, _ = Persistence.none().update(report(x=True, y=False), persist=(1, 2))
    assert Persistence.from_json(json.loads(json.dumps(persistence.to_json()))) == persistence
