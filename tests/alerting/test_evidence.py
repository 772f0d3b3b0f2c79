"""What evidence shows, and that anything else in it harms nobody."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.alerting.evidence import effects, facts, histograms, notes, samples
from mlops_ray.alerting.slack import slack_body
from mlops_ray.alerting.webhook import webhook_body
from mlops_ray.alerting.words import action, bars, commands
from mlops_ray.spec.alerts import AlertKind
from tests.alerting.samples import alert, message

ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


def test_of_several_distances_the_one_that_exceeds_its_threshold_by_most_is_shown() -> None:
    entry = {"name": "a", "ks": 0.2, "ks_threshold": 0.1, "psi": 0.9, "psi_threshold": 0.2, "p_value": 0.0}
    (effect,) = effects(alert(evidence={"features": [entry]}), 5)
    assert (effect.measure, effect.value, effect.threshold) == ("PSI", 0.9, 0.2)


def test_no_more_features_than_asked_for() -> None:
    many = [{"name": str(n), "measure": "KS", "value": 1.0} for n in range(9)]
    pictures = [{"feature": "a", "categories": ["x"], "reference": [1], "window": [1]}] * 9
    shown = alert(evidence={"features": many, "histograms": pictures})
    assert ([e.name for e in effects(shown, 2)], len(histograms(shown, 2))) == (["0", "1"], 2)


def test_inner_edges_have_open_bins_outside() -> None:
    entry = {"feature": "a", "edges": [0, 1], "reference": [0.2, 0.3, 0.5], "window": [0.5, 0.3, 0.2]}
    (histogram,) = histograms(alert(evidence={"histograms": [entry]}), 5)
    assert histogram.labels == ("below 0", "0 to 1", "from 1")
    assert (histogram.edges[0], histogram.edges[-1]) == (-math.inf, math.inf)


def test_everything_that_is_one_value_is_a_fact() -> None:
    evidence = {"metric": "auc", "rows": 812, "value": 0.70123456789, "at": None, "list": [1], "ok": True}
    assert facts(alert(evidence=evidence)) == {"metric": "auc", "rows": "812", "value": "0.701235"}


def test_times_are_facts_that_people_can_read() -> None:
    evidence = {"from_s": 1_700_000_000.5, "until_s": 1_700_000_010, "since_s": 1e300, "latency_s": 1_700_000_000.0}
    assert facts(alert(evidence=evidence)) == {
        "from": "2023-11-14 22:13:20 UTC",
        "until": "2023-11-14 22:13:30 UTC",
        "since_s": "1e+300",
        "latency_s": "1.7e+09",
    }


def test_broken_columns_limits_and_slices_are_said_in_words() -> None:
    slices = [{"conditions": ["plan = pro", "a < 3"], "rows": 50, "error": 0.5, "excess": 0.375, "low": 0.2}] * 3
    evidence = {
        "problems": [{"feature": "b", "message": "b: every value is missing"}, {"message": 3}, "c"],
        "fairness": [{"name": "sex", "message": "sex: 0.6, at least 0.8"}],
        "slices": [{"conditions": []}, {"conditions": ["a"], "rows": None}, *slices],
    }
    worse = "worse where plan = pro and a < 3: 50.0% wrong of 50 rows, 37.5% more than elsewhere"
    told = alert(evidence=evidence)
    assert notes(told, 2) == ["b: every value is missing", "sex: 0.6, at least 0.8", worse, worse]
    assert notes(told, 0) == []


def test_of_a_record_what_it_is_comes_first_and_then_the_features_of_the_alert() -> None:
    """Whatever order the store gave them."""
    row = {**{f"c{n:02}": n for n in range(20)}, "answer": 0.5, "request_id": "r", "time": "now", "z": None, "y": 1}
    features = [{"name": "y", "measure": "KS", "value": 1.0}]
    (shown,) = samples(alert(features=("z",), evidence={"samples": [row], "features": features}))
    assert list(shown)[:6] == ["request_id", "time", "answer", "z", "y", "c00"]
    assert shown["z"] == "missing"


def test_long_records_are_cut() -> None:
    (row,) = samples(alert(evidence={"samples": [{str(n): "x" * 500 for n in range(50)}]}))
    assert len(row) == 12
    assert max(map(len, row.values())) == 80


@given(st.lists(st.floats(0, 1), min_size=1, max_size=70), st.booleans())
def test_bars_are_few_and_keep_all_of_the_shares(shares: list[float], numbers: bool) -> None:
    axis: dict[str, Any] = {"edges": list(range(len(shares) + 1))}
    if not numbers:
        axis = {"categories": [f"c{n}" for n in range(len(shares))]}
    entry = {"feature": "a", "reference": shares, "window": shares[::-1]} | axis
    (histogram,) = histograms(alert(evidence={"histograms": [entry]}), 1)
    lines = bars(histogram)
    assert 1 <= len(lines) <= 9
    told = [float(line.split("|")[2].strip().removesuffix(" %")) for line in lines]
    assert sum(told) == pytest.approx(100 * sum(shares), abs=0.06 * len(lines))


NAMES = ("features", "histograms", "samples", "rows", "problems", "fairness", "slices", "from_s")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, ANY)))
def test_no_evidence_keeps_an_alert_from_being_told(evidence: dict[str, Any]) -> None:
    told = message(alert(evidence=evidence))
    assert slack_body(told)["text"] == "[warning] churn: two features drifted"
    assert webhook_body(told)["text"] == "[warning] churn: two features drifted"


@pytest.mark.parametrize("kind", AlertKind.__args__)  # type: ignore[attr-defined]
def test_every_kind_has_an_action_of_its_own(kind: str) -> None:
    others = {action(alert(kind=other)) for other in AlertKind.__args__ if other != kind}  # type: ignore[attr-defined]
    assert action(alert(kind=kind)) not in others
    assert commands(alert(kind=kind))
