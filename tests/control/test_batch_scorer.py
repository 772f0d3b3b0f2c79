"""What a worker of a batch prediction adds to its rows."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from mlops_ray.control.batch_predict import _Scorer
from mlops_ray.drift import build_reference
from mlops_ray.model import TrainedModel, write_bundle
from tests.serve.pictures import CLASSES, PICTURES, png


def test_pictures_get_the_likeliest_class_and_the_probability_of_each(tmp_path: Path) -> None:
    columns = [*PICTURES.columns(), PICTURES.prediction_column()]
    manifest = write_bundle(
        tmp_path,
        model=TrainedModel("python", {"predictor.json": b'{"class": "tests.serve.predictors:Colours"}'}),
        signature=PICTURES,
        reference=build_reference(columns, np.zeros((9, 6))),
        card="",
    )
    rows = pa.table({"id": [1, 2, 3], "photo": pa.array([png(0), png(1), png(2)], pa.binary())})
    scored = _Scorer(str(tmp_path), manifest.digest)(rows)
    assert scored["label"].to_pylist() == list(CLASSES)
    assert scored["scores"].type == pa.list_(pa.float64(), 3)
    np.testing.assert_allclose(np.array(scored["scores"].to_pylist()).max(axis=1), scored["score"].to_numpy())
