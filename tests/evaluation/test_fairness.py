"""Fairness: fairlearn's numbers, and verdicts that wait for evidence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_ray.evaluation import GroupCounts, count_groups, evaluate_gates, groups_of, judge_fairness
from mlops_ray.spec import Fairness, FairnessMetric, Gate
from mlops_ray.verdict import Verdict

METRICS: tuple[FairnessMetric, ...] = (
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equalized_odds_difference",
    "equal_opportunity_difference",
)


def limit(metric: FairnessMetric, **changes: object) -> Fairness:
    bound = {"min": 0.8} if metric.endswith("ratio") else {"max": 0.1}
    return Fairness(attribute="group", metric=metric, **{"min_rows": 10, **bound, **changes})


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(3))
def test_the_numbers_are_those_of_fairlearn(metric: FairnessMetric, seed: int) -> None:
    metrics = pytest.importorskip("fairlearn.metrics")
    generator = np.random.default_rng(seed)
    groups = generator.choice(["a", "b", "c"], 2_000, p=[0.5, 0.3, 0.2])
    labels = (generator.random(2_000) < 0.4).astype(np.float64)
    scores = np.clip(generator.random(2_000) + 0.1 * (groups == "a") + 0.2 * labels, 0, 1)
    found = judge_fairness(limit(metric), count_groups(groups, labels, scores))
    theirs = getattr(metrics, metric)(labels, scores >= 0.5, sensitive_features=groups)
    assert found.value == pytest.approx(theirs, abs=5e-5)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= theirs <= found.high


counts = st.builds(GroupCounts, *[st.integers(1, 500)] * 4)


@given(st.dictionaries(st.sampled_from("abcd"), counts, min_size=2), st.sampled_from(METRICS))
@settings(max_examples=100, deadline=None)
def test_the_interval_holds_the_value(groups: dict[str, GroupCounts], metric: FairnessMetric) -> None:
    found = judge_fairness(limit(metric), groups)
    if found.value is not None:
        assert found.low is not None
        assert found.high is not None
        assert 0 <= found.low <= found.value + 1e-9
        assert found.value - 1e-9 <= found.high <= 1


@given(st.integers(0, 2**32 - 1), st.integers(0, 300))
@settings(max_examples=20, deadline=None)
def test_counts_of_batches_add_up(seed: int, cut: int) -> None:
    generator = np.random.default_rng(seed)
    groups = generator.choice(["a", "b"], 300)
    labels, scores = generator.integers(0, 2, 300).astype(np.float64), generator.random(300)
    parts = [count_groups(groups[s], labels[s], scores[s]) for s in (slice(0, cut), slice(cut, 300))]
    whole = count_groups(groups, labels, scores)
    for name, of_all in whole.items():
        assert parts[0].get(name, GroupCounts()) + parts[1].get(name, GroupCounts()) == of_all


def test_a_rule_of_four_fifths_is_broken_only_by_evidence() -> None:
    """When the true ratio is .81, windows show less than .8 by chance nearly every other time."""
    generator, verdicts = np.random.default_rng(0), []
    for _ in range(200):
        a, b = generator.binomial(500, 0.5), generator.binomial(500, 0.405)
        groups = {"a": GroupCounts(tp=a, fn=500 - a), "b": GroupCounts(tp=b, fn=500 - b)}
        verdicts.append(judge_fairness(limit("demographic_parity_ratio"), groups).verdict)
    assert verdicts.count(Verdict.FAIL) <= 8
    assert Verdict.INCONCLUSIVE in verdicts


def test_groups_with_few_rows_are_not_compared() -> None:
    groups = {"a": GroupCounts(500, 0, 500, 0), "b": GroupCounts(0, 0, 50, 0)}
    found = judge_fairness(limit("demographic_parity_ratio", min_rows=100), groups)
    assert (found.verdict, found.value) == (Verdict.INCONCLUSIVE, None)
    assert "expected two groups of 100 rows at least, found 1" in found.message


def test_a_group_without_a_label_of_one_kind_leaves_it_undecided() -> None:
    groups = {"a": GroupCounts(50, 50, 50, 50), "b": GroupCounts(fp=50, tn=50)}
    assert judge_fairness(limit("equal_opportunity_difference"), groups).verdict is Verdict.INCONCLUSIVE


def test_groups_have_names_people_know() -> None:
    assert groups_of(np.array([0.0, 1.0, 2.0, np.nan]), ("f", "m"), ()).tolist() == ["f", "m", "unseen", "missing"]


def test_a_broken_limit_fails_the_gates() -> None:
    y = np.tile([0.0, 1.0], 500)
    report = evaluate_gates([Gate(metric="accuracy", min=0.5)], "binary", y, y, None, seed=0)
    fair = limit("demographic_parity_difference")
    even = judge_fairness(fair, {"a": GroupCounts(900, 0, 900, 0), "b": GroupCounts(900, 0, 900, 0)})
    uneven = judge_fairness(fair, {"a": GroupCounts(900, 0, 100, 0), "b": GroupCounts(100, 0, 900, 0)})
    assert report.and_fairness([fair], [even]).verdict is Verdict.PASS
    broken = report.and_fairness([fair], [uneven])
    assert (broken.verdict, broken.results[-1].kind) == (Verdict.FAIL, "fairness")
    assert type(broken).from_json(broken.to_json()) == broken
