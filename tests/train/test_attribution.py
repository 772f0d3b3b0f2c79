from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from mlops_ray.drift import AttributionReference
from mlops_ray.model import Predictor
from mlops_ray.model.lightgbm_predictor import LightGBMPredictor
from mlops_ray.model.sklearn_predictor import SklearnPredictor
from mlops_ray.train.attribution import attribution_of
from mlops_ray.train.training_data import TrainingData, prepare
from tests.monitor.samples import toy_spec


def toy_data() -> TrainingData:
    generator = np.random.default_rng(1)
    a, b = generator.normal(size=(2, 2000))
    table = pa.table({"a": a, "b": b, "y": (3 * a + b > 0).astype(np.int64), "uid": [f"u{i}" for i in range(2000)]})
    return prepare(toy_spec(), table)


DATA = toy_data()


def trees() -> LightGBMPredictor:
    quiet = {"objective": "binary", "verbose": -1, "num_threads": 1}
    return LightGBMPredictor(lightgbm.train(quiet, lightgbm.Dataset(DATA.train.x, DATA.train.y), 20))


def fitted(estimator: Any) -> SklearnPredictor:
    return SklearnPredictor(estimator.fit(DATA.train.x, DATA.train.y.astype(int)), DATA.signature)


def of(flavor: str, predictor: Predictor, **attribution: Any) -> AttributionReference | None:
    return attribution_of(toy_spec(monitor={"attribution": attribution}), DATA, flavor, predictor)


def test_a_new_model_says_how_much_each_feature_moves_its_answers() -> None:
    found = of("lightgbm", trees())
    assert found is not None
    assert (found.method, found.rows, found.features) == ("tree_shap", 500, ("a", "b"))
    assert found.shares[0] > 2 * found.shares[1]
    assert sum(found.shares) == pytest.approx(1)


def test_linear_models_have_it_too_and_slow_ones_only_where_they_are_asked() -> None:
    linear = of("sklearn", fitted(LogisticRegression()))
    assert linear is not None
    assert linear.method == "linear"
    forest = fitted(RandomForestClassifier(5, random_state=1))
    assert of("sklearn", forest) is None
    asked = of("sklearn", forest, enabled=True, rows=60)
    assert asked is not None
    assert (asked.method, asked.exact, asked.rows) == ("permutation_sampling", False, 60)


def test_off_is_off() -> None:
    assert of("lightgbm", trees(), enabled=False) is None
