import numpy as np
import pytest

from mlops_ray.drift import Column, ReferenceProfile, build_reference
from mlops_ray.monitor.time_sketch import TimeSketch
from mlops_ray.monitor.yardstick import Yardstick
from mlops_ray.spec import Latency
from tests.monitor.samples import reference, toy_spec


def yardstick(analysis: dict[str, object] | None = None, known: ReferenceProfile | None = None) -> Yardstick:
    return Yardstick.of(toy_spec(rollout={"analysis": analysis or {}}), known or reference())


def predictions(values: list[float]) -> ReferenceProfile:
    return build_reference([Column("prediction", "numeric", ())], np.array(values)[:, None])


def times(count: int) -> TimeSketch:
    sketch = TimeSketch()
    sketch.add(np.linspace(1.0, 100.0, count))
    return sketch


def test_score_bins_are_deciles_of_the_champions_reference() -> None:
    edges = yardstick().edges
    assert len(edges) == 9
    np.testing.assert_allclose(edges, np.arange(1, 10) / 10, atol=0.03)
    assert sum(yardstick().bins(np.linspace(0, 1, 500))) == 500


def test_fewer_distinct_scores_make_fewer_bins() -> None:
    measured = yardstick(known=predictions([0.0] * 300 + [1.0] * 100))
    assert measured.bins(np.array([0.0, 0.0, 1.0])) == (2, 1)


def test_scores_that_are_all_the_same_are_not_compared() -> None:
    assert yardstick(known=predictions([0.5] * 100)).bins(np.array([0.5])) == ()


def test_no_bins_turn_the_comparison_off() -> None:
    assert yardstick({"predictions": {"bins": 0}}).bins(np.array([0.5])) == ()


def test_without_a_reference_scores_are_not_compared() -> None:
    assert Yardstick.of(toy_spec(), None).bins(np.array([0.5])) == ()


def test_binary_versions_disagree_on_the_label() -> None:
    found = yardstick().disagree(np.array([0.4, 0.4, 0.9]), np.array([0.49, 0.5, 0.6]))
    assert found is not None
    assert found.tolist() == [False, True, False]


def test_a_tolerance_of_the_spec_goes_before() -> None:
    measured = yardstick({"paired": {"tolerance": 0.05}})
    found = measured.disagree(np.array([0.4, 0.4]), np.array([0.44, 0.46]))
    assert found is not None
    assert found.tolist() == [False, True]


def test_regressions_disagree_by_a_tenth_of_the_references_spread() -> None:
    known = predictions(np.random.default_rng(0).normal(0, 20, 500).tolist())
    measured = Yardstick.of(toy_spec(train={"task": "regression", "metric": "rmse"}), known)
    assert measured.tolerance == pytest.approx(0.1 * known.features[0].std)


def test_regressions_without_a_reference_have_nothing_to_tell_by() -> None:
    measured = Yardstick.of(toy_spec(train={"task": "regression", "metric": "rmse"}), None)
    assert measured.disagree(np.array([1.0]), np.array([9.0])) is None


def test_thresholds_wait_for_two_hundred_times() -> None:
    assert yardstick().thresholds(times(199)) == ()
    assert [threshold.name for threshold in yardstick().thresholds(times(200))] == ["p50", "p95", "p99"]


def test_the_canarys_threshold_is_later_by_what_is_no_harm() -> None:
    measured = Yardstick(100.0, Latency(quantiles=(0.05, 0.95), floor_ms=5.0, floor_ratio=0.25), "binary")
    early, late = measured.thresholds(times(1000))
    assert early.canary_ms == early.champion_ms + 5.0
    assert late.canary_ms == late.champion_ms * 1.25


def classes(counts: list[int]) -> ReferenceProfile:
    names = tuple(f"c{i}" for i in range(len(counts)))
    places = np.repeat(np.arange(len(counts)), counts).astype(float)
    return build_reference([Column("prediction", "categorical", names)], places[:, None])


def of_classes(known: ReferenceProfile, **analysis: object) -> Yardstick:
    spec = toy_spec(
        data={"source": "/x", "label": "y", "classes": ["c0", "c1", "c2"], "features": {"a": "float"}},
        train={"task": "multiclass", "metric": "accuracy"},
        rollout={"analysis": analysis},
    )
    return Yardstick.of(spec, known)


def test_each_class_is_a_bin() -> None:
    measured = of_classes(classes([10, 20, 30]))
    assert measured.edges == (0.5, 1.5)
    assert measured.bins(np.array([0.0, 2.0, 2.0])) == (1, 0, 2)


def test_many_classes_share_bins() -> None:
    measured = of_classes(classes([5] * 1000))
    assert len(measured.edges) == 9
    assert sum(measured.bins(np.arange(1000.0))) == 1000
    assert max(measured.bins(np.arange(1000.0))) <= 102


def test_classes_are_not_compared_where_the_spec_says_so() -> None:
    assert of_classes(classes([10, 20, 30]), predictions={"bins": 0}).bins(np.array([1.0])) == ()


def test_versions_disagree_on_another_class_however_near_its_place_is() -> None:
    found = of_classes(classes([10, 20, 30]), paired={"tolerance": 5}).disagree(
        np.array([0.0, 1.0]), np.array([0.0, 2.0])
    )
    assert found is not None
    assert found.tolist() == [False, True]
