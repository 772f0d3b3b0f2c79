import json
from pathlib import Path

import numpy as np
import pytest

from mlops_ray.errors import ModelError
from mlops_ray.model.python_predictor import load_python_predictor


class Broken:
    """Raises when it is made."""

    def __init__(self, _: Path) -> None:
        raise RuntimeError("no weights")


class Silent:
    """Has no predict."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder


def described(folder: Path, content: object) -> Path:
    (folder / "predictor.json").write_text(json.dumps(content))
    return folder


def test_the_class_is_called_with_the_folder_of_the_bundle(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "factor.txt").write_text("3")
    predictor = load_python_predictor(described(tmp_path, {"class": "tests.model.conftest:Doubler"}))
    assert predictor.predict(np.array([[2.0, 0.0]])).tolist() == [6.0]


@pytest.mark.parametrize("name", ["no_such_package:Model", "tests.model.conftest:NoSuchClass"])
def test_a_class_that_cannot_be_imported_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=f"predictor class {name}: cannot be imported here"):
        load_python_predictor(described(tmp_path, {"class": name}))


def test_a_class_that_raises_is_named_with_its_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Broken: raised RuntimeError: no weights"):
        load_python_predictor(described(tmp_path, {"class": f"{__name__}:Broken"}))


def test_a_class_without_predict_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"Silent: expected a method predict\(matrix\), found none"):
        load_python_predictor(described(tmp_path, {"class": f"{__name__}:Silent"}))


@pytest.mark.parametrize("content", [{}, [], {"class": 3}, {"class": "no_colon"}])
def test_a_description_of_another_form_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(ModelError, match=r"predictor.json: expected"):
        load_python_predictor(described(tmp_path, content))
