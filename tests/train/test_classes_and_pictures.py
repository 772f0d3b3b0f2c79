"""Multiclass labels and pictures on their way into a training: parts, codes, keys; and the trainers for tables."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.errors import SchemaError, ValidationError
from mlops_ray.evaluation import score
from mlops_ray.model import TrainedModel, build_probe
from mlops_ray.pixels import encode_png
from mlops_ray.spec import ModelSpec
from mlops_ray.train.lightgbm_trainer import train_lightgbm
from mlops_ray.train.torch_trainer import train_torch
from mlops_ray.train.training_data import Part, predictions_of, prepare
from mlops_ray.train.trial import load_model
from mlops_ray.train.trial_context import Trainer, TrialContext

CLASSES = ("low", "middle", "high")


def spec_of(features: dict[str, Any], trainer: str, **checks: Any) -> ModelSpec:
    """A multiclass spec."""
    return ModelSpec.model_validate(
        {
            "name": "level",
            "data": {
                "source": "/data",
                "label": "level",
                "classes": CLASSES,
                "features": features,
                "checks": checks,
            },
            "train": {"task": "multiclass", "trainer": trainer, "metric": "accuracy"},
        }
    )


def table_of(rows: int) -> pa.Table:
    """Two numbers that say the class."""
    random = np.random.default_rng(0)
    codes = random.integers(0, 3, rows)
    numbers = codes + random.normal(0, 0.3, rows)
    return pa.table({"a": numbers, "b": random.normal(size=rows), "level": np.array(CLASSES)[codes]})


def pictures_of(rows: int) -> pa.Table:
    """Pictures as bright as their class."""
    codes = np.arange(rows) % 3
    random = np.random.default_rng(1)
    pixels = (codes[:, None, None, None] * 80 + random.integers(0, 60, (rows, 2, 2, 3))).astype(np.uint8)
    files = [encode_png(picture) for picture in pixels]
    return pa.table({"photo": pa.array(files, pa.large_binary()), "level": np.array(CLASSES)[codes]})


PHOTO = {"photo": {"type": "image", "height": 2, "width": 2}}


def test_labels_are_the_places_of_their_classes() -> None:
    table = table_of(300)
    data = prepare(spec_of({"a": "float", "b": "float"}, "lightgbm"), table)
    assert data.signature.classes == CLASSES
    known = dict(zip(table["a"].to_pylist(), table["level"].to_pylist(), strict=True))
    assert [CLASSES[int(y)] for y in data.holdout.y] == [known[a] for a in data.holdout.x[:, 0]]


def test_a_label_that_is_no_class_and_a_class_without_rows_are_named() -> None:
    spec = spec_of({"a": "float", "b": "float"}, "lightgbm")
    table = table_of(300)
    strange = pa.array(["huge", *table["level"].to_pylist()[1:]])
    with pytest.raises(ValidationError, match=r"expected one of data.classes, found 'huge'"):
        prepare(spec, table.set_column(2, "level", strange))
    with pytest.raises(SchemaError, match="expected text, the name of a class, found int64"):
        prepare(spec, table.set_column(2, "level", pa.array([1] * 300)))
    without = table.filter(pa.compute.not_equal(table["level"], "high"))
    with pytest.raises(ValidationError, match="class 'high' is in no training row"):
        prepare(spec, without)


def test_pictures_stay_files_until_they_are_looked_at() -> None:
    table = pictures_of(300)
    data = prepare(spec_of(PHOTO, "torchvision"), table)
    parts = (data.train, data.valid, data.holdout)
    assert [part.x.shape for part in parts] == [(len(part.y), 0) for part in parts]
    found = [file for part in parts if part.pictures is not None for file in part.pictures["photo"].to_pylist()]
    assert sorted(found) == sorted(table["photo"].to_pylist())
    rows = np.concatenate(list(data.valid.chunks(data.signature)))
    assert rows.shape == (len(data.valid.y), 12)
    assert (rows.mean(axis=1) // 80 == data.valid.y).all()
    assert data.in_time.shape == (len(data.train.y) + len(data.valid.y), 5)


def test_equal_pictures_are_on_one_side() -> None:
    table = pictures_of(300)
    data = prepare(spec_of(PHOTO, "torchvision", max_holdout_overlap=0.0), pa.concat_tables([table, table]))
    assert data.holdout_overlap == 0.0
    assert len(data.holdout.y) % 2 == 0


def test_predictions_of_pictures_come_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops_ray.model.encoding._PIXELS", 50)
    data = prepare(spec_of(PHOTO, "torchvision"), pictures_of(300))
    sizes = []

    def predict(rows: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        sizes.append(len(rows))
        return np.eye(3)[(rows.mean(axis=1) // 80).astype(int)]

    assert score("accuracy", data.holdout.y, predictions_of(predict, data.holdout, data.signature)) == 1.0
    assert max(sizes) == 4
    nothing = Part(data.holdout.x[:0], data.holdout.y[:0], pictures_of(3).select(["photo"]).slice(0, 0))
    assert [rows.shape for rows in nothing.chunks(data.signature)] == [(0, 12)]


def test_a_probe_of_pictures_survives_the_trip_and_tells_a_difference() -> None:
    data = prepare(spec_of(PHOTO, "torchvision"), pictures_of(90))
    probe = build_probe(
        data.signature,
        data.probe_rows,
        model=TrainedModel("torch", {}),
        predict=lambda rows: np.stack([rows[:, 0], rows[:, 1], rows[:, 2]], axis=1) / 255,
    )
    assert probe is not None
    back = type(probe).from_bytes(probe.to_bytes(), data.signature)
    assert back.rows == probe.rows
    assert (back.matrix == probe.matrix).all()
    assert (back.predictions == probe.predictions).all()
    assert back.mismatch(probe.predictions[:5]) is None
    wrong = probe.predictions.copy()
    wrong[3, 1] += 0.1
    assert "row 3 of the probe" in str(back.mismatch(wrong))
    assert "shape" in str(back.mismatch(probe.predictions[:, 0]))
    assert all(isinstance(record["photo"], str) for record in back.records())


@pytest.mark.parametrize("trainer", [train_lightgbm, train_torch], ids=["lightgbm", "torch"])
@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_the_trainers_for_tables_learn_classes(trainer: Trainer, metric: Any, tmp_path: Any) -> None:
    data = prepare(spec_of({"a": "float", "b": "float"}, "lightgbm"), table_of(600))
    reported = []
    context = TrialContext(
        params={},
        task="multiclass",
        metric=metric,
        maximize=metric == "accuracy",
        seed=0,
        max_iterations=30,
        threads=1,
        device="cpu",
        x_train=data.train.x,
        y_train=data.train.y,
        x_valid=data.valid.x,
        y_valid=data.valid.y,
        categorical=(),
        signature=data.signature,
        report=lambda _, metrics: reported.append(metrics[metric]),
        checkpoint=lambda _, metrics, __: reported.append(metrics[metric]),
    )
    predictor = load_model(trainer(context), tmp_path, signature=data.signature)
    shares = predictor.predict(data.holdout.x)
    assert shares.shape == (len(data.holdout.y), 3)
    assert np.allclose(shares.sum(axis=1), 1)
    assert score("accuracy", data.holdout.y, shares) > 0.85
    assert len(reported) >= 5
    assert predictor.predict(data.holdout.x[:0]).shape == (0, 3)
    assert np.allclose(predictor.predict(data.holdout.x[:1]), shares[:1])
