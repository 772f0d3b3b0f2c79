import base64
from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mlops_ray.drift import build_reference
from mlops_ray.errors import SchemaError
from mlops_ray.model import InputColumn, Manifest, Signature, TrainedModel, write_bundle
from mlops_ray.model.pyfunc import _load_pyfunc
from mlops_ray.pixels import encode_png


def test_a_data_frame_gets_the_predictions_of_its_encoded_rows(
    write: Callable[[TrainedModel], tuple[Path, Manifest]], lightgbm_model: TrainedModel, booster: lightgbm.Booster
) -> None:
    folder, _ = write(lightgbm_model)
    frame = pd.DataFrame(
        {"contract": ["one year", "new"], "tenure": [3, 9], "charges": [70.0, None], "paperless": [True, False]}
    )
    expected = booster.predict(np.array([[3, 70, 1, 1], [9, np.nan, 0, 3]], dtype=float))
    np.testing.assert_allclose(_load_pyfunc(str(folder)).predict(frame), expected, atol=1e-12)


class Colours:
    """Red, green and blue of a picture, as probabilities."""

    def __init__(self, _: Path) -> None:
        pass

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        colours = matrix.reshape(len(matrix), -1, 3).mean(axis=1)
        return colours / colours.sum(axis=1, keepdims=True)


def test_a_model_of_pictures_answers_a_column_for_each_class(tmp_path: Path) -> None:
    signature = Signature(
        (InputColumn("photo", "image", False, shape=(2, 2, 3)),), "multiclass", classes=("r", "g", "b")
    )
    columns = [*signature.columns(), signature.prediction_column()]
    model = TrainedModel("python", {"predictor.json": b'{"class": "tests.model.test_pyfunc:Colours"}'})
    write_bundle(
        tmp_path, model=model, signature=signature, reference=build_reference(columns, np.zeros((9, 6))), card=""
    )
    picture = encode_png(np.full((4, 4, 3), (200, 40, 10), np.uint8))
    loaded = _load_pyfunc(str(tmp_path))
    for content in (picture, base64.b64encode(picture).decode()):
        answer = loaded.predict(pd.DataFrame({"photo": [content, content]}))
        assert isinstance(answer, pd.DataFrame)
        assert list(answer.columns) == ["r", "g", "b"]
        np.testing.assert_allclose(answer.to_numpy(), [[0.8, 0.16, 0.04]] * 2)
    with pytest.raises(SchemaError, match="base64"):
        loaded.predict(pd.DataFrame({"photo": ["%"]}))
