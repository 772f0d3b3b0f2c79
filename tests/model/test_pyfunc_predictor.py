import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression

from mlops_ray.errors import ModelError, PredictionError
from mlops_ray.model import InputColumn, Signature, TrainedModel
from mlops_ray.model.frame import to_frame
from mlops_ray.model.pyfunc_predictor import PyfuncPredictor
from mlops_ray.train.trial import load_model
from tests.model.conftest import SIGNATURE, sample

REGRESSION = Signature(SIGNATURE.inputs, "regression")
ROWS = sample(6)


class Answering:
    """An MLflow model as far as it is asked here."""

    metadata = mlflow.models.Model()

    def __init__(self, answer: Callable[[pd.DataFrame], Any]) -> None:
        self.predict = answer


def ask(answer: Callable[[pd.DataFrame], Any], signature: Signature = SIGNATURE) -> NDArray[np.float64]:
    return PyfuncPredictor(Answering(answer), signature).predict(ROWS)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, which is to stay empty."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    assert os.listdir(folder) == []


def test_a_model_that_mlflow_saved_predicts_as_it_does_in_mlflow(tmp_path: Path, elsewhere: Path) -> None:
    signature = Signature((InputColumn("a", "float", False), InputColumn("n", "int", False)), "regression")
    frame = pd.DataFrame({"n": [1, 2, 3, 9], "a": [0.5, 1.5, 0.1, 3.0]})
    estimator = LinearRegression().fit(frame, [1.0, 3.0, 2.0, 11.0])
    columns = [mlflow.types.ColSpec("long", "n"), mlflow.types.ColSpec("double", "a")]
    mlflow.sklearn.save_model(
        estimator,
        str(tmp_path / "saved"),
        signature=mlflow.models.ModelSignature(inputs=mlflow.types.Schema(columns)),
        pip_requirements=["scikit-learn"],
        skops_trusted_types=["sklearn.linear_model._base.LinearRegression"],
    )
    predictor = load_model(TrainedModel.pyfunc(tmp_path / "saved"), tmp_path / "loaded", signature=signature)
    matrix = frame[["a", "n"]].to_numpy(dtype=np.float64)
    np.testing.assert_allclose(predictor.predict(matrix), estimator.predict(frame), atol=1e-12)


def test_it_is_asked_with_the_names_and_types_of_the_signature() -> None:
    seen: list[pd.DataFrame] = []

    def answer(frame: pd.DataFrame) -> NDArray[np.float64]:
        seen.append(frame)
        return np.zeros(len(frame))

    ask(answer)
    pd.testing.assert_frame_equal(seen[0], to_frame(SIGNATURE, ROWS))


@pytest.mark.parametrize(
    "answer",
    [
        lambda frame: frame["tenure"].to_numpy(),
        lambda frame: frame["tenure"].to_numpy()[:, None],
        lambda frame: frame["tenure"],
        lambda frame: frame[["tenure"]],
        lambda frame: frame["tenure"].tolist(),
        lambda frame: np.column_stack((1 - frame["tenure"], frame["tenure"])),
        lambda frame: pd.DataFrame({0: 1 - frame["tenure"], 1: frame["tenure"]}),
        lambda frame: pd.DataFrame({"label": "x", "probability": frame["tenure"], "more": 0}),
    ],
)
def test_answers_of_many_kinds_are_taken(answer: Callable[[pd.DataFrame], Any]) -> None:
    np.testing.assert_array_equal(ask(answer), ROWS[:, 0])


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda frame: {"score": frame["tenure"]}, "a DataFrame, Series or array, found builtins.dict"),
        (lambda frame: ["yes"] * len(frame), "answer numbers"),
        (lambda frame: frame[["contract"]], "answer numbers"),
        (lambda _: None, "found builtins.NoneType"),
    ],
)
def test_what_is_no_row_of_numbers_is_refused(answer: Callable[[pd.DataFrame], Any], says: str) -> None:
    with pytest.raises(PredictionError, match=says):
        ask(answer)


def test_two_columns_are_two_classes_in_a_binary_task_only() -> None:
    answer = ask(lambda frame: np.zeros((len(frame), 2)), REGRESSION)
    assert answer.shape == (6, 2)  # which whoever asked refuses, as it is not one number a row


def test_another_number_of_columns_is_refused() -> None:
    with pytest.raises(PredictionError, match=r"expected a matrix \(rows, 4\), found shape \(1, 5\)"):
        PyfuncPredictor(Answering(lambda frame: frame), SIGNATURE).predict(np.zeros((1, 5)))


def test_an_input_that_the_signature_does_not_have_is_named(tmp_path: Path) -> None:
    columns = [mlflow.types.ColSpec("double", "age"), mlflow.types.ColSpec("double", "charges")]
    model = Answering(lambda frame: frame)
    model.metadata = mlflow.models.Model(signature=mlflow.models.ModelSignature(inputs=mlflow.types.Schema(columns)))
    with pytest.raises(ModelError, match="wants the input 'age'; the inputs are tenure, charges"):
        PyfuncPredictor(model, SIGNATURE)


@pytest.mark.parametrize("content", [b"", b"flavors: {}"])
def test_a_folder_that_mlflow_cannot_load_is_an_error_of_the_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mlflow_model").mkdir()
    (tmp_path / "mlflow_model" / "MLmodel").write_bytes(content)
    with pytest.raises(ModelError, match="mlflow_model: cannot be loaded"):
        PyfuncPredictor.load(tmp_path, SIGNATURE)
