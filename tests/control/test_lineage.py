"""The first line of a lineage, by what the model answers."""

import json
from pathlib import Path

from mlops_ray.control.lineage import _answer, _class_of
from tests.serve.pictures import PICTURES


def test_a_class_is_named_with_its_probability() -> None:
    assert _answer({"score": 2.0, "confidence": 0.75, "class": "blue"}) == "class blue with probability 0.75"
    assert _answer({"score": 0.25}) == "score 0.25"
    assert _answer({"score": None, "status": 504, "error": "late"}) == "no score (status 504, late)"


def test_its_name_is_that_of_the_version_that_answered(tmp_path: Path) -> None:
    (tmp_path / "signature.json").write_text(json.dumps(PICTURES.to_json()))
    assert _class_of(str(tmp_path), 2.0) == "blue"
