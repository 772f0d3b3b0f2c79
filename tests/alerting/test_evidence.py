"""What evidence shows, and that anything else in it harms nobody."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.alerting.evidence import effects, facts, histograms, samples
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


@given(st.fixed_dictionaries({}, optional={"features": ANY, "histograms": ANY, "samples": ANY, "rows": ANY}))
def test_no_evidence_keeps_an_alert_from_being_told(evidence: dict[str, Any]) -> None:
    told = message(alert(evidence=evidence))
    assert slack_body(told)["text"] == "[warning] churn: two features drifted"
    assert webhook_body(told)["text"] == "[warning] churn: two features drifted"


@pytest.mark.parametrize("kind", AlertKind.__args__)  # type: ignore[attr-defined]
def test_every_kind_has_an_action_of_its_own(kind: str) -> None:
    others = {action(alert(kind=other)) for other in AlertKind.__args__ if other != kind}  # type: ignore[attr-defined]
    assert action(alert(kind=kind)) not in others
    assert commands(alert(kind=kind))
