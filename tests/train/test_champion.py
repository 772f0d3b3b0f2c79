import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.data import DatasetVersion
from mlops_ray.drift import build_reference
from mlops_ray.errors import GateError
from mlops_ray.model import InputColumn, Signature, TrainedModel, write_bundle
from mlops_ray.spec import ModelSpec
from mlops_ray.store import ModelVersionRecord, Stage
from mlops_ray.train.champion import load_champion
from tests.train.conftest import spec_of

COMPARING = spec_of(gates=[{"metric": "auc", "not_worse_by": 0.01}])
SCHEMA = {"tenure": "long", "churned": "long"}


class Tenth:
    """A tenth of the first input."""

    def __init__(self, _: Path) -> None:
        pass

    def predict(self, matrix: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        return matrix[:, 0] / 10


def dataset(schema: dict[str, str]) -> DatasetVersion:
    return DatasetVersion("tests.churn", 2, "99", None, 9, 9, 0, None, "e" * 64, schema, (), 0.0)


@pytest.fixture
def record(tmp_path: Path) -> ModelVersionRecord:
    """A champion that takes `tenure` only."""
    model = TrainedModel("python", {"predictor.json": json.dumps({"class": f"{__name__}:Tenth"}).encode()})
    signature = Signature((InputColumn("tenure", "int", False),), "binary")
    reference = build_reference(signature.columns(), np.arange(9.0)[:, None])
    digest = write_bundle(tmp_path, model=model, signature=signature, reference=reference, card="").digest
    return ModelVersionRecord(
        "churn", 4, digest, str(tmp_path), "r", "tests.churn@v1", {}, {}, {}, "PASS", Stage.CHAMPION, 0.0
    )


def ignore(_: str) -> None:
    """No progress."""


def test_without_a_champion_there_is_nothing_to_load() -> None:
    assert load_champion(None, COMPARING, dataset(SCHEMA), progress=ignore) is None


def test_a_champion_with_other_features_predicts_through_its_own_signature(record: ModelVersionRecord) -> None:
    champion = load_champion(record, COMPARING, dataset(SCHEMA), progress=ignore)
    assert champion is not None
    rows = pa.table({"charges": [1.0, 2.0], "tenure": [3, 7]})
    assert champion.predictions(rows).tolist() == [0.3, 0.7]


def test_a_column_the_champion_takes_and_the_dataset_lacks_is_named(record: ModelVersionRecord) -> None:
    with pytest.raises(GateError, match=r"champion \(version 4\) cannot be compared .*'tenure'.* does not have"):
        load_champion(record, COMPARING, dataset({"churned": "long"}), progress=ignore)


def test_a_champion_of_another_task_cannot_be_compared_with(record: ModelVersionRecord) -> None:
    regression = ModelSpec.model_validate(
        COMPARING.model_dump()
        | {"train": {"task": "regression", "metric": "rmse"}, "gates": [{"metric": "rmse", "not_worse_by": 1}]}
    )
    with pytest.raises(GateError, match="its task is binary, the spec's regression"):
        load_champion(record, regression, dataset(SCHEMA), progress=ignore)


def test_a_champion_that_is_gone_stops_a_training_that_compares(record: ModelVersionRecord) -> None:
    (Path(record.bundle_uri) / "manifest.json").unlink()
    with pytest.raises(GateError, match=r"no manifest.json there"):
        load_champion(record, COMPARING, dataset(SCHEMA), progress=ignore)


def test_without_a_comparing_gate_the_training_goes_on_and_says_why(record: ModelVersionRecord) -> None:
    said: list[str] = []
    assert load_champion(record, spec_of(), dataset({"churned": "long"}), progress=said.append) is None
    assert "cannot be compared" in said[0]


def test_a_column_of_another_type_is_an_error_of_the_gate(record: ModelVersionRecord) -> None:
    champion = load_champion(record, COMPARING, dataset(SCHEMA), progress=ignore)
    assert champion is not None
    with pytest.raises(GateError, match="'tenure': expected int, found string"):
        champion.predictions(pa.table({"tenure": ["3"]}))
