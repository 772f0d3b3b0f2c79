"""Specs of multiclass tasks and of images: what goes together, and what does not."""

from typing import Any

import pytest

from mlops_ray.errors import SpecError
from mlops_ray.spec import ModelSpec

PHOTO = {"type": "image", "height": 32, "width": 24}


def spec(data: dict[str, Any] | None = None, train: dict[str, Any] | None = None) -> dict[str, Any]:
    """A spec of pictures in three classes, changed."""
    return {
        "name": "pets",
        "data": {"source": "/data", "label": "kind", "classes": ["cat", "dog", "fox"], "features": {"photo": PHOTO}}
        | (data or {}),
        "train": {"task": "multiclass", "trainer": "torchvision", "metric": "accuracy"} | (train or {}),
    }


def test_a_spec_of_pictures_in_classes_is_taken() -> None:
    read = ModelSpec.model_validate(spec())
    assert (read.data.image, read.data.classes) == ("photo", ("cat", "dog", "fox"))
    assert ModelSpec.model_validate_json(read.model_dump_json()) == read


@pytest.mark.parametrize(
    ("data", "train", "sentence"),
    [
        ({"classes": None}, {}, "data.classes does not list the values of the label"),
        ({}, {"task": "binary", "metric": "auc"}, "data.classes is for train.task 'multiclass', found 'binary'"),
        ({"classes": ["cat", "cat"]}, {}, "expected different classes that have a name, found 'cat'"),
        (
            {"features": {"photo": PHOTO, "age": "int"}},
            {},
            "feature 'photo' is an image, and has to be the only feature",
        ),
        ({"features": {"photo": "image"}}, {}, "a feature of type image needs height and width"),
        ({"features": {"photo": PHOTO | {"max_null_share": 0.1}}}, {}, "expected max_null_share 0"),
        ({"features": {"photo": PHOTO | {"min": 0}}}, {}, "min and max are for float and int features"),
        (
            {"features": {"age": {"type": "int", "width": 3}}},
            {"trainer": "torch"},
            "height, width and channels are for",
        ),
        ({}, {"trainer": "lightgbm"}, "feature 'photo' is an image, which train.trainer 'lightgbm' does not take"),
        ({"features": {"age": "int"}}, {}, "train.trainer 'torchvision' needs a feature of type image"),
        ({"checks": {"max_leakage": 0.9}}, {}, "data.checks.max_leakage is not there for train.task 'multiclass'"),
        ({}, {"metric": "auc"}, "metric 'auc' is not for task 'multiclass'; expected one of accuracy, log_loss, f1"),
    ],
)
def test_what_does_not_go_together_is_refused(data: dict[str, Any], train: dict[str, Any], sentence: str) -> None:
    with pytest.raises((SpecError, ValueError), match=sentence.replace("(", r"\(")):
        ModelSpec.model_validate(spec(data, train))
