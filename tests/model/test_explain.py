"""Explanations of every kind of model: exact where they say so, and they add up."""

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression, LogisticRegression

from mlops_ray.drift import build_reference
from mlops_ray.errors import ModelError
from mlops_ray.model import (
    InputColumn,
    Signature,
    TrainedModel,
    build_probe,
    explainer_for,
    load_explainer,
    write_bundle,
)
from mlops_ray.model.gradient_explainer import GradientExplainer, typical_row
from mlops_ray.model.lightgbm_predictor import LightGBMPredictor
from mlops_ray.model.sampling_explainer import SamplingExplainer
from mlops_ray.model.sklearn_predictor import SklearnPredictor
from mlops_ray.model.torch_predictor import TorchPredictor
from mlops_ray.train.exported import exported
from mlops_ray.train.tabular_mlp import TabularMLP
from tests.model.conftest import SIGNATURE, sample

Matrix = NDArray[np.float64]

CLASSES = Signature(
    tuple(InputColumn(name, "float", nullable=True) for name in "abc"), "multiclass", classes=("low", "mid", "high")
)


def labels_of(matrix: Matrix) -> Matrix:
    return (matrix[:, 0] + np.nan_to_num(matrix[:, 1]) / 4 < 50).astype(float)


def booster_of(signature: Signature, matrix: Matrix, labels: Matrix, **params: Any) -> LightGBMPredictor:
    objective = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}[signature.task]
    several = {"num_class": len(signature.classes)} if signature.classes else {}
    dataset = lightgbm.Dataset(matrix, labels, categorical_feature=list(signature.categorical))
    quiet = {"objective": objective, "verbose": -1, "num_threads": 1}
    return LightGBMPredictor(lightgbm.train({**quiet, **several, **params}, dataset, 15))


# -- trees -------------------------------------------------------------------------------------------------------------


def test_tree_contributions_are_exactly_those_of_lightgbm(booster: lightgbm.Booster) -> None:
    matrix = sample(50)
    found = explainer_for("lightgbm", LightGBMPredictor(booster), SIGNATURE, sample()).explain(matrix)
    expected = booster.predict(matrix, pred_contrib=True)
    np.testing.assert_array_equal(np.column_stack((found.contributions, found.base)), expected)
    np.testing.assert_allclose(found.residual, 0, atol=1e-9)
    np.testing.assert_allclose(1 / (1 + np.exp(-found.scores)), booster.predict(matrix))
    assert (found.method, found.scale, found.exact, found.standard_errors) == ("tree_shap", "log_odds", True, None)


def shapley_of_trees(booster: lightgbm.Booster, row: Matrix) -> Matrix:
    """Path-dependent Shapley values of a booster by their definition: every subset of the features."""
    import itertools
    import math

    trees = booster.dump_model()["tree_info"]
    width = len(row)

    def value(node: dict[str, Any], known: frozenset[int]) -> float:
        if "leaf_value" in node:
            return float(node["leaf_value"])
        left, right, feature = node["left_child"], node["right_child"], node["split_feature"]
        if feature in known:
            below = row[feature] <= node["threshold"]
            return value(left if below else right, known)
        weights = [child.get("internal_count", child.get("leaf_count")) for child in (left, right)]
        parts = [value(child, known) for child in (left, right)]
        return float(np.average(parts, weights=weights))

    def total(known: frozenset[int]) -> float:
        return sum(value(tree["tree_structure"], known) for tree in trees)

    found = np.zeros(width)
    for feature in range(width):
        others = [i for i in range(width) if i != feature]
        for size in range(width):
            weight = math.factorial(size) * math.factorial(width - size - 1) / math.factorial(width)
            for subset in itertools.combinations(others, size):
                known = frozenset(subset)
                found[feature] += weight * (total(known | {feature}) - total(known))
    return found


def test_tree_contributions_are_shapley_values_by_their_definition() -> None:
    generator = np.random.default_rng(3)
    signature = Signature(tuple(InputColumn(name, "float", False) for name in "abcd"), "regression")
    matrix = generator.normal(size=(300, 4))
    predictor = booster_of(signature, matrix, matrix[:, 0] * matrix[:, 1] + matrix[:, 2], num_leaves=8)
    found = explainer_for("lightgbm", predictor, signature, matrix).explain(matrix[:3])
    for row, contributions in zip(matrix[:3], found.contributions, strict=True):
        np.testing.assert_allclose(contributions, shapley_of_trees(predictor.booster, row), atol=1e-6)
    assert found.scale == "value"


def test_of_several_classes_the_likeliest_is_explained_or_the_one_that_is_named() -> None:
    matrix = np.random.default_rng(1).normal(size=(300, 3))
    predictor = booster_of(CLASSES, matrix, np.digitize(matrix[:, 0], (-0.5, 0.5)).astype(float))
    explainer = explainer_for("lightgbm", predictor, CLASSES, matrix)
    likeliest = explainer.explain(matrix[:20])
    assert likeliest.places is not None
    np.testing.assert_array_equal(likeliest.places, predictor.predict(matrix[:20]).argmax(axis=1))
    named = explainer.explain(matrix[:20], np.full(20, 2))
    raw = predictor.booster.predict(matrix[:20], raw_score=True)
    np.testing.assert_allclose(named.scores, raw[:, 2])
    for found in (likeliest, named):
        np.testing.assert_allclose(found.residual, 0, atol=1e-9)
        assert found.scale == "raw_score"


def test_trees_that_lightgbm_does_not_explain_are_sampled() -> None:
    matrix = np.random.default_rng(1).normal(size=(300, 2))
    signature = Signature(tuple(InputColumn(name, "float", False) for name in "ab"), "regression")
    predictor = booster_of(signature, matrix, matrix.sum(axis=1), linear_tree=True)
    assert explainer_for("lightgbm", predictor, signature, matrix).method == "permutation_sampling"


# -- linear models -----------------------------------------------------------------------------------------------------


def test_a_linear_model_is_explained_by_its_weights() -> None:
    signature = Signature(tuple(InputColumn(name, "float", False) for name in "ab"), "regression")
    matrix = np.random.default_rng(1).normal(2, 1, size=(200, 2))
    model = LinearRegression().fit(matrix, matrix @ [3.0, -1.0] + 5)
    explainer = explainer_for("sklearn", SklearnPredictor(model, signature), signature, matrix)
    found = explainer.explain(matrix[:5])
    np.testing.assert_allclose(found.contributions, (matrix[:5] - matrix.mean(axis=0)) * [3.0, -1.0])
    np.testing.assert_allclose(found.base, model.predict(matrix).mean())
    np.testing.assert_allclose(found.residual, 0, atol=1e-9)
    assert (found.method, found.exact, found.scale) == ("linear", True, "value")


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_logistic_regressions_are_exact_in_log_odds_or_raw_scores(task: Any) -> None:
    classes = ("low", "mid", "high") if task == "multiclass" else ()
    signature = Signature(tuple(InputColumn(name, "float", False) for name in "abc"), task, classes=classes)
    matrix = np.random.default_rng(1).normal(size=(300, 3))
    edges = (-0.5, 0.5) if classes else (0.0,)
    model = LogisticRegression().fit(matrix, np.digitize(matrix[:, 0], edges))
    found = explainer_for("sklearn", SklearnPredictor(model, signature), signature, matrix).explain(matrix[:7])
    assert (found.method, found.scale) == ("linear", "raw_score" if classes else "log_odds")
    np.testing.assert_allclose(found.residual, 0, atol=1e-9)
    decision = model.decision_function(matrix[:7])
    np.testing.assert_allclose(found.scores, decision.max(axis=1) if classes else decision)


# -- nets --------------------------------------------------------------------------------------------------------------


def net_of(signature: Signature, matrix: Matrix, labels: Matrix) -> TorchPredictor:
    torch.manual_seed(1)
    net = TabularMLP(signature, matrix, labels, hidden=(16, 16), dropout=0.0)
    for parameter in net.parameters():
        parameter.data *= 2  # far from linear
    return TorchPredictor(exported(net.eval(), signature.width))


@pytest.mark.parametrize("signature", [SIGNATURE, CLASSES], ids=["binary", "multiclass"])
def test_contributions_of_a_net_add_up_with_categories_and_missing_values(signature: Signature) -> None:
    matrix = sample(60) if signature is SIGNATURE else np.random.default_rng(1).normal(size=(60, 3))
    matrix[1, 1] = np.nan
    predictor = net_of(signature, matrix, np.arange(60.0) % max(2, len(signature.classes)))
    explainer = explainer_for("torch", predictor, signature, matrix)
    found = explainer.explain(matrix)
    assert found.method == "integrated_gradients"
    assert np.abs(found.residual).max() < 2e-3, "of a probability"
    assert np.abs(found.contributions).max() > 0.05, "there is something to explain"


def test_the_gradients_of_an_exported_net_are_those_of_finite_differences() -> None:
    matrix = np.random.default_rng(1).normal(size=(6, 3))
    predictor = net_of(CLASSES, matrix, np.arange(6.0) % 3)
    step = 1e-3
    for i in range(3):
        up, down = matrix.copy(), matrix.copy()
        up[:, i] += step
        down[:, i] -= step
        slopes = (predictor.predict(up) - predictor.predict(down))[:, 1] / (2 * step)
        np.testing.assert_allclose(predictor.gradients(matrix, 1)[:, i], slopes, atol=3e-3)


class Linear:
    """A model whose contributions are known."""

    weights = np.array([2.0, -1.0, 0.5])

    def predict(self, matrix: Matrix) -> Matrix:
        return np.nan_to_num(matrix, nan=-1.0) @ self.weights

    def gradients(self, matrix: Matrix, place: int | None) -> Matrix:
        assert place is None
        return np.where(np.isnan(matrix), 0.0, self.weights)


def test_integrated_gradients_of_a_linear_model_are_its_weights() -> None:
    signature = Signature(
        (
            InputColumn("a", "float", nullable=True),
            InputColumn("b", "float", nullable=True),
            InputColumn("c", "category", nullable=True, categories=("x", "y")),
        ),
        "regression",
    )
    start = np.array([1.0, 2.0, 0.0])
    rows = np.array([[3.0, 2.0, 1.0], [np.nan, 0.0, np.nan], [1.0, 2.0, 0.0]])
    found = GradientExplainer(Linear(), signature, start).explain(rows)
    np.testing.assert_allclose(found.contributions, (np.nan_to_num(rows, nan=-1.0) - start) * Linear.weights)
    np.testing.assert_allclose(found.residual, 0, atol=1e-12)


def test_the_typical_row_has_means_and_most_frequent_categories() -> None:
    rows = np.array([[1.0, np.nan, 1.0, 2.0], [3.0, np.nan, np.nan, 2.0], [2.0, 1.0, 0.0, 0.0]])
    np.testing.assert_array_equal(typical_row(SIGNATURE, rows), [2.0, np.nan, 0.5, 2.0])


# -- any model ---------------------------------------------------------------------------------------------------------


def interacting(matrix: Matrix) -> Matrix:
    """A product and a sum: its Shapley values are known from the means of the background."""
    return matrix[:, 0] * matrix[:, 1] + 3 * matrix[:, 2]


THREE = Signature(tuple(InputColumn(name, "float", False) for name in "abc"), "regression")


def test_sampled_contributions_are_near_the_true_ones_as_far_as_they_say() -> None:
    background = np.random.default_rng(2).normal(1, 1, size=(1000, 3))
    row = np.array([[2.0, -1.0, 0.5]])
    found = SamplingExplainer(interacting, THREE, background, max_predictions=8000).explain(row)
    a, b, c = background.mean(axis=0)
    product = (background[:, 0] * background[:, 1]).mean()
    first = ((row[0, 0] * b - product) + (row[0, 0] * row[0, 1] - a * row[0, 1])) / 2
    second = ((a * row[0, 1] - product) + (row[0, 0] * row[0, 1] - row[0, 0] * b)) / 2
    errors = found.standard_errors
    assert errors is not None
    np.testing.assert_array_less(
        np.abs(found.contributions[0] - [first, second, 3 * (row[0, 2] - c)]), 4 * errors[0] + 1e-9
    )
    assert not found.exact


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(10, 400))
@settings(max_examples=25)
def test_sampled_contributions_always_add_up_and_stay_in_their_budget(seed: int, width: int, budget: int) -> None:
    generator = np.random.default_rng(seed)
    signature = Signature(tuple(InputColumn(f"f{i}", "float", False) for i in range(width)), "regression")
    asked: list[int] = []

    def predict(matrix: Matrix) -> Matrix:
        asked.append(len(matrix))
        return np.sin(matrix).prod(axis=1)

    explainer = SamplingExplainer(predict, signature, generator.normal(size=(20, width)), max_predictions=budget)
    asked.clear()
    found = explainer.explain(generator.normal(size=(2, width)))
    np.testing.assert_allclose(found.residual, 0, atol=1e-9)
    assert sum(asked) <= 2 * max(budget, 4 * (width + 1)) + 2


def test_the_same_row_is_explained_the_same_way_each_time_and_in_any_company() -> None:
    background = np.random.default_rng(2).normal(size=(100, 3))
    rows = np.random.default_rng(3).normal(size=(4, 3))
    explainer = SamplingExplainer(interacting, THREE, background, max_predictions=100)
    whole = explainer.explain(rows).contributions
    np.testing.assert_array_equal(whole[2:3], explainer.explain(rows[2:3]).contributions)


# -- bundles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probed", [True, False])
def test_a_bundle_is_explained_with_or_without_rows_of_its_training(
    tmp_path: Path, lightgbm_model: TrainedModel, booster: lightgbm.Booster, probed: bool
) -> None:
    import pyarrow as pa

    matrix = sample()
    rows = pa.table(
        {
            "tenure": pa.array(matrix[:, 0].astype(int)),
            "charges": pa.array(matrix[:, 1], from_pandas=True),
            "paperless": pa.array(matrix[:, 2].astype(bool)),
            "contract": pa.array(["monthly"] * len(matrix)),
        }
    )
    probe = build_probe(SIGNATURE, rows, model=lightgbm_model, predict=booster.predict) if probed else None
    columns = [*SIGNATURE.columns(), SIGNATURE.prediction_column()]
    reference = build_reference(columns, np.column_stack((matrix, booster.predict(matrix))))
    manifest = write_bundle(
        tmp_path, model=lightgbm_model, signature=SIGNATURE, reference=reference, card="", probe=probe
    )
    bundle, explainer = load_explainer(str(tmp_path), digest=manifest.digest)
    found = explainer.explain(matrix[:3])
    np.testing.assert_allclose(found.residual, 0, atol=1e-9)
    assert bundle.folder == tmp_path


def test_pictures_are_refused_with_the_reason() -> None:
    signature = Signature((InputColumn("photo", "image", False, shape=(4, 4, 3)),), "binary")
    with pytest.raises(ModelError, match="a model of pictures has no explanation by features"):
        explainer_for("python", Linear(), signature, np.zeros((1, 48)))
