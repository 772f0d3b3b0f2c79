from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlops_ray.errors import ModelError, PredictionError
from mlops_ray.model import InputColumn, Signature, TrainedModel
from mlops_ray.model.frame import to_frame
from mlops_ray.model.sklearn_predictor import SklearnPredictor
from mlops_ray.train.trial import load_model
from tests.model.conftest import SIGNATURE, sample

X = sample()
Y = (X[:, 0] + np.nan_to_num(X[:, 1]) / 4 < 50).astype(int)
REGRESSION = Signature(SIGNATURE.inputs, "regression")
Matrix = NDArray[np.float64]


def saved(estimator: Any, folder: Path, signature: Signature = SIGNATURE) -> Any:
    return load_model(TrainedModel.sklearn(estimator), folder, signature=signature)


def pipeline() -> Any:
    """Fitted on a DataFrame, in another order than the signature's."""
    frame = to_frame(SIGNATURE, X)[["contract", "charges", "tenure", "paperless"]]
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["contract", "paperless"]),
        (make_pipeline(SimpleImputer(), StandardScaler()), ["tenure", "charges"]),
    )
    return make_pipeline(columns, LogisticRegression()).fit(frame, Y)


@pytest.mark.parametrize("rows", [1, 2, 400])
def test_a_classifier_on_matrices_answers_the_probability_of_class_1(tmp_path: Path, rows: int) -> None:
    estimator = HistGradientBoostingClassifier(max_iter=5).fit(X, Y)
    predictor = saved(estimator, tmp_path)
    np.testing.assert_array_equal(predictor.predict(X[:rows]), estimator.predict_proba(X[:rows])[:, 1])


@pytest.mark.parametrize("rows", [1, 400])
def test_a_pipeline_on_a_frame_gets_names_and_types_in_its_own_order(tmp_path: Path, rows: int) -> None:
    estimator = pipeline()
    expected = estimator.predict_proba(to_frame(SIGNATURE, X[:rows]))[:, 1]
    np.testing.assert_allclose(saved(estimator, tmp_path).predict(X[:rows]), expected, atol=1e-12)


@pytest.mark.parametrize("targets", [Y, Y[:, None]])
def test_a_regressor_answers_its_value(tmp_path: Path, targets: Matrix) -> None:
    filled = np.nan_to_num(X)
    estimator = LinearRegression().fit(filled, targets)
    answer = saved(estimator, tmp_path, REGRESSION).predict(filled[:9])
    np.testing.assert_allclose(answer, estimator.predict(filled[:9]).ravel(), atol=1e-12)


def test_its_threads_are_those_of_the_replica_not_of_the_trainer(tmp_path: Path) -> None:
    forest = RandomForestClassifier(n_estimators=3, n_jobs=-1).fit(np.nan_to_num(X), Y)
    predictor = SklearnPredictor(make_pipeline(StandardScaler(), forest).fit(np.nan_to_num(X), Y), SIGNATURE, threads=1)
    assert forest.n_jobs == 1
    assert predictor.predict(np.nan_to_num(X[:3])).shape == (3,)


def test_a_classifier_without_probabilities_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="RidgeClassifier has no predict_proba, which a binary task needs"):
        saved(RidgeClassifier().fit(np.nan_to_num(X), Y), tmp_path)


def test_other_classes_than_0_and_1_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected the classes 0, 1, found 1.0, 2.0"):
        saved(LogisticRegression().fit(np.nan_to_num(X), Y + 1), tmp_path)


def test_another_number_of_columns_is_refused_when_loading(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="was fitted on 3 columns; expected 4"):
        saved(LogisticRegression().fit(np.nan_to_num(X)[:, :3], Y), tmp_path)


def test_a_column_that_is_no_input_is_named(tmp_path: Path) -> None:
    frame = pd.DataFrame({"tenure": X[:, 0], "age": X[:, 0]})
    with pytest.raises(ModelError, match="was fitted on column 'age'; the inputs are tenure, charges"):
        saved(LogisticRegression().fit(frame, Y), tmp_path)


def test_another_number_of_columns_is_refused_when_predicting(tmp_path: Path) -> None:
    predictor = saved(HistGradientBoostingClassifier(max_iter=2).fit(X, Y), tmp_path)
    with pytest.raises(PredictionError, match=r"expected a matrix \(rows, 4\), found shape \(1, 5\)"):
        predictor.predict(np.zeros((1, 5)))


@pytest.mark.parametrize("content", [b"", b"cno_such_module\nx\n."])
def test_a_file_that_cannot_be_unpickled_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "estimator.pkl").write_bytes(content)
    with pytest.raises(ModelError, match=r"estimator.pkl: cannot be loaded"):
        SklearnPredictor.load(tmp_path, SIGNATURE)


def test_what_is_no_estimator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"estimator.pkl: expected a scikit-learn estimator, found InputColumn"):
        saved(InputColumn("a", "float", False), tmp_path)
