import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_ray.drift import ReferenceProfile
from mlops_ray.errors import ModelError, PredictionError
from mlops_ray.lake import Lake
from mlops_ray.model import Bundle, Manifest, TrainedModel, publish_bundle, write_bundle
from tests.model.conftest import SIGNATURE

Write = Callable[[TrainedModel], tuple[Path, Manifest]]


class Fixed:
    """Answers with what it was given."""

    def __init__(self, answer: NDArray[np.float64]) -> None:
        self.answer = answer

    def predict(self, _: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.answer.size == 1 and self.answer[0] == -1:
            raise ZeroDivisionError("boom")
        return self.answer


def bundle_answering(answer: list[float], reference: ReferenceProfile) -> Bundle:
    manifest = Manifest("python", "0" * 64, {})
    return Bundle(manifest, SIGNATURE, reference, Fixed(np.array(answer)), "memory")


def test_a_manifest_survives_a_trip_through_json_text() -> None:
    manifest = Manifest("torch", "ab" * 32, {"model.pt2": "cd" * 32})
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


def test_a_bundle_holds_the_model_and_what_is_known_about_it(write: Write, lightgbm_model: TrainedModel) -> None:
    folder, manifest = write(lightgbm_model)
    assert set(manifest.files) == {"model.lgb.txt", "signature.json", "reference.json", "card.md"}
    assert {file.name for file in folder.iterdir()} == {*manifest.files, "manifest.json"}


def test_the_same_content_has_the_same_digest(write: Write, lightgbm_model: TrainedModel) -> None:
    assert write(lightgbm_model)[1].digest == write(lightgbm_model)[1].digest


def test_another_card_makes_another_digest(
    tmp_path: Path, lightgbm_model: TrainedModel, reference: ReferenceProfile
) -> None:
    digests = {
        write_bundle(tmp_path, model=lightgbm_model, signature=SIGNATURE, reference=reference, card=card).digest
        for card in ("one", "two")
    }
    assert len(digests) == 2


@pytest.mark.parametrize("name", ["signature.json", "manifest.json", "probe.arrow", "../x", "/x", "a/../../x", ""])
def test_a_file_name_that_would_break_the_bundle_is_refused(write: Write, name: str) -> None:
    with pytest.raises(ModelError, match="model file"):
        write(TrainedModel("python", {name: b""}))


def test_a_published_bundle_lies_under_its_digest(write: Write, lightgbm_model: TrainedModel, tmp_path: Path) -> None:
    folder, manifest = write(lightgbm_model)
    lake = Lake((tmp_path / "lake").as_uri())
    assert publish_bundle(folder, lake, "churn") == lake.uri_of(f"models/churn/{manifest.digest[:12]}")
    assert lake.read_bytes(f"models/churn/{manifest.digest[:12]}/card.md") == b"# Churn\n"


def test_publishing_twice_changes_nothing(write: Write, lightgbm_model: TrainedModel, tmp_path: Path) -> None:
    folder, _ = write(lightgbm_model)
    lake = Lake(str(tmp_path / "lake"))
    first = publish_bundle(folder, lake, "churn")
    files = {path: lake.read_bytes(path) for path in lake.list("")}
    assert publish_bundle(folder, lake, "churn") == first
    assert {path: lake.read_bytes(path) for path in lake.list("")} == files


def test_checked_predictions_are_those_of_the_model(reference: ReferenceProfile) -> None:
    assert bundle_answering([0.25, 0.5], reference).predict(np.zeros((2, 4))).tolist() == [0.25, 0.5]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([0.1, 0.2, 0.3], r"expected 2 predictions, found shape \(3,\)"),
        ([0.1, float("nan")], "expected finite predictions, found nan in row 1"),
        ([-1.0], "raised ZeroDivisionError: boom"),
    ],
)
def test_an_answer_that_is_no_prediction_is_an_error(
    answer: list[float], message: str, reference: ReferenceProfile
) -> None:
    with pytest.raises(PredictionError, match=message):
        bundle_answering(answer, reference).predict(np.zeros((2, 4)))
