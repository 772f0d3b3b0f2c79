import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from mlops_ray.drift import ReferenceProfile
from mlops_ray.errors import ModelError
from mlops_ray.lake import Lake
from mlops_ray.model import (
    Manifest,
    Probe,
    TrainedModel,
    build_probe,
    encode,
    load_bundle,
    publish_bundle,
    read_probe,
    write_bundle,
)
from tests.model.conftest import SIGNATURE

TABLE = pa.table(
    {
        "tenure": pa.array([1, 2, 3, 4, 5], pa.int32()),
        "charges": pa.array([1.5, None, float("nan"), 0.1, 1e300]),
        "paperless": [True, None, False, True, False],
        "contract": pa.array(["monthly", "new", None, "two year", "é"]).dictionary_encode(),
        "ignored": [0] * 5,
    }
)
PLAIN = TrainedModel("lightgbm", {})


def first(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return matrix[:, 0] / 3


def probe_of(table: pa.Table = TABLE, model: TrainedModel = PLAIN) -> Probe:
    probe = build_probe(SIGNATURE, table, model=model, predict=first)
    assert probe is not None
    return probe


def with_column(name: str, values: pa.Array) -> pa.Table:
    return TABLE.set_column(TABLE.column_names.index(name), name, values)


def test_its_records_are_the_rows_as_json_carries_them() -> None:
    records = probe_of().records()
    assert json.loads(json.dumps(records, allow_nan=False)) == records
    assert records == [
        {"tenure": 1, "charges": 1.5, "paperless": True, "contract": "monthly"},
        {"tenure": 2, "charges": None, "paperless": None, "contract": "new"},
        {"tenure": 3, "charges": None, "paperless": False, "contract": None},
        {"tenure": 4, "charges": 0.1, "paperless": True, "contract": "two year"},
        {"tenure": 5, "charges": 1e300, "paperless": False, "contract": "é"},
    ]


def test_its_matrix_and_predictions_are_those_of_the_rows() -> None:
    probe = probe_of()
    np.testing.assert_array_equal(probe.matrix, encode(SIGNATURE, TABLE))
    np.testing.assert_array_equal(probe.predictions, np.arange(1, 6) / 3)


def test_it_survives_its_file() -> None:
    probe = probe_of()
    copy = Probe.from_bytes(probe.to_bytes(), SIGNATURE)
    assert copy.rows.equals(probe.rows)
    np.testing.assert_array_equal(copy.matrix, probe.matrix)
    np.testing.assert_array_equal(copy.predictions, probe.predictions)
    assert copy.tolerance == probe.tolerance


def test_the_same_rows_make_the_same_file() -> None:
    assert probe_of().to_bytes() == probe_of().to_bytes()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("charges", pa.array([1.0, float("inf"), 2.0, 3.0, 4.0])),
        ("tenure", pa.array([1, 2**53 + 2, 3, 4, 5])),
        ("tenure", pa.array([1, None, 3, 4, 5])),
        ("contract", pa.array(["a", "b" * 4097, "c", "d", "e"])),
    ],
)
def test_rows_that_no_request_can_carry_are_left_out(name: str, values: pa.Array) -> None:
    probe = probe_of(with_column(name, values))
    assert [record["tenure"] for record in probe.records()] == [1, 3, 4, 5]


def test_without_a_row_that_a_request_can_carry_there_is_no_probe() -> None:
    assert build_probe(SIGNATURE, TABLE.slice(0, 0), model=PLAIN, predict=first) is None


def test_it_has_at_most_a_thousand_rows() -> None:
    assert probe_of(pa.concat_tables([TABLE] * 300)).rows.num_rows == 1000


@pytest.mark.parametrize(
    ("model", "predictions", "tolerance"),
    [
        (TrainedModel("lightgbm", {}), [0.1, 0.2], 1e-6),
        (TrainedModel("python", {}), [0.1, 0.2], 1e-6),
        (TrainedModel("python", {}), np.array([0.1, 0.2], np.float32).astype(float), 1e-4),
        (TrainedModel("torch", {}), [0.1, 0.2], 1e-4),
        (TrainedModel("torch", {"torch.json": b"{}"}), [0.1, 0.2], 2e-2),
    ],
)
def test_its_tolerance_is_that_of_the_precision_the_model_computes_in(
    model: TrainedModel, predictions: NDArray[np.float64], tolerance: float
) -> None:
    probe = build_probe(SIGNATURE, TABLE.slice(0, 2), model=model, predict=lambda _: np.asarray(predictions))
    assert probe is not None
    assert probe.tolerance == tolerance


def test_answers_within_the_tolerance_are_no_mismatch() -> None:
    probe = probe_of()
    assert probe.mismatch(probe.predictions + 9e-7) is None
    assert probe.mismatch(probe.predictions[:2]) is None


def test_the_largest_difference_is_named_with_its_row() -> None:
    probe = probe_of()
    answers = probe.predictions + np.array([0, 0.001, 0, 0.5, 0])
    assert probe.mismatch(answers) == (
        "row 3 of the probe is predicted 1.83333333, the trainer's model said 1.33333333: 0.5 apart, where 1.33e-06 is "
        "allowed; 2 of 5 rows are off"
    )


def test_no_number_is_a_mismatch() -> None:
    probe = probe_of()
    answers = probe.predictions.copy()
    answers[2] = np.nan
    assert "row 2 of the probe is predicted nan" in str(probe.mismatch(answers))


def test_beyond_one_the_tolerance_is_relative() -> None:
    probe = replace(probe_of(), predictions=np.array([1e6] * 5))
    assert probe.mismatch(np.array([1e6 + 0.9] * 5)) is None
    assert probe.mismatch(np.array([1e6 + 1.1] * 5)) is not None


@pytest.mark.parametrize("shape", [(6,), (5, 1)])
def test_another_shape_is_a_mismatch(shape: tuple[int, ...]) -> None:
    assert f"found shape {shape}" in str(probe_of().mismatch(np.zeros(shape)))


@pytest.mark.parametrize("content", [b"", b"no arrow"])
def test_a_file_that_is_no_probe_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"probe.arrow: is not a probe"):
        Probe.from_bytes(content, SIGNATURE)


@pytest.fixture
def published(
    tmp_path: Path, booster: lightgbm.Booster, lightgbm_model: TrainedModel, reference: ReferenceProfile
) -> tuple[str, Probe, Manifest]:
    """A bundle with a probe of its model."""
    probe = build_probe(SIGNATURE, TABLE, model=lightgbm_model, predict=lambda m: np.asarray(booster.predict(m)))
    manifest = write_bundle(
        tmp_path / "bundle", model=lightgbm_model, signature=SIGNATURE, reference=reference, card="", probe=probe
    )
    assert probe is not None
    return publish_bundle(tmp_path / "bundle", Lake((tmp_path / "lake").as_uri()), "churn"), probe, manifest


def test_a_bundle_says_what_its_trainer_predicted_without_its_model(published: tuple[str, Probe, Manifest]) -> None:
    uri, probe, manifest = published
    assert "probe.arrow" in manifest.files
    (Path(uri.removeprefix("file://")) / "model.lgb.txt").unlink()
    found = read_probe(uri)
    assert found is not None
    assert found.records() == probe.records()
    np.testing.assert_array_equal(found.predictions, probe.predictions)


def test_the_loaded_model_predicts_what_its_trainer_did(published: tuple[str, Probe, Manifest]) -> None:
    uri, probe, _ = published
    assert probe.mismatch(load_bundle(uri).predict(probe.matrix)) is None


def test_an_older_bundle_has_no_probe(
    write: Callable[[TrainedModel], tuple[Path, Manifest]], lightgbm_model: TrainedModel
) -> None:
    assert read_probe(str(write(lightgbm_model)[0])) is None


@pytest.mark.parametrize("name", ["probe.arrow", "signature.json"])
def test_a_probe_that_was_changed_is_refused(published: tuple[str, Probe, Manifest], name: str) -> None:
    file = Path(published[0].removeprefix("file://")) / name
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(ModelError, match=f"file {name} is not what was written"):
        read_probe(published[0])


def test_a_probe_that_is_gone_is_named(published: tuple[str, Probe, Manifest]) -> None:
    (Path(published[0].removeprefix("file://")) / "probe.arrow").unlink()
    with pytest.raises(ModelError, match=r"file probe.arrow is missing"):
        read_probe(published[0])
