from pathlib import Path

import pytest

from mlops_ray.errors import ModelError
from mlops_ray.model.predictor import load_predictor


def test_an_unknown_flavor_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match='expected lightgbm, torch, sklearn, pyfunc or python, found "onnx"'):
        load_predictor("onnx", tmp_path)
