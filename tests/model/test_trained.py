import json
from pathlib import Path

import lightgbm
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from mlops_ray.errors import ModelError
from mlops_ray.model import TrainedModel
from mlops_ray.model.predictor import load_predictor
from mlops_ray.train.trial import load_model
from tests.model.conftest import SIGNATURE, sample


def test_a_booster_becomes_a_model_that_predicts_alike(booster: lightgbm.Booster, tmp_path: Path) -> None:
    predictor = load_model(TrainedModel.lightgbm(booster), tmp_path)
    np.testing.assert_allclose(predictor.predict(sample()), np.asarray(booster.predict(sample())), atol=1e-12)


def test_a_booster_may_be_cut_off_at_a_round(booster: lightgbm.Booster, tmp_path: Path) -> None:
    predictor = load_model(TrainedModel.lightgbm(booster, rounds=3), tmp_path)
    expected = np.asarray(booster.predict(sample(), num_iteration=3))
    np.testing.assert_allclose(predictor.predict(sample()), expected, atol=1e-12)


def test_an_estimator_becomes_one_file() -> None:
    model = TrainedModel.sklearn(LogisticRegression())
    assert (model.flavor, list(model.files)) == ("sklearn", ["estimator.pkl"])


def test_an_estimator_that_cannot_be_pickled_is_refused_with_the_way_out() -> None:
    with pytest.raises(ModelError, match=r"FunctionTransformer cannot be pickled .* module that serving can import"):
        TrainedModel.sklearn(FunctionTransformer(lambda x: x))


def test_an_mlflow_folder_becomes_its_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "MLmodel").write_bytes(b"flavors: {}")
    (tmp_path / "data" / "weights.bin").write_bytes(b"1")
    model = TrainedModel.pyfunc(tmp_path)
    assert (model.flavor, dict(model.files)) == (
        "pyfunc",
        {"mlflow_model/MLmodel": b"flavors: {}", "mlflow_model/data/weights.bin": b"1"},
    )


def test_a_folder_without_an_mlflow_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="found no file MLmodel"):
        TrainedModel.pyfunc(str(tmp_path))


@pytest.mark.parametrize("flavor", ["sklearn", "pyfunc"])
def test_models_that_want_names_cannot_be_loaded_without_the_signature(flavor: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"flavor {flavor} cannot be loaded without its signature"):
        load_predictor(flavor, tmp_path)


def test_a_signature_does_no_harm_to_models_that_need_none(booster: lightgbm.Booster, tmp_path: Path) -> None:
    predictor = load_model(TrainedModel.lightgbm(booster), tmp_path, signature=SIGNATURE)
    assert predictor.predict(sample(5)).shape == (5,)


def test_reduced_precision_is_asked_for_in_a_file_of_its_own() -> None:
    rows = torch.export.Dim("rows")
    module = torch.nn.Sequential(torch.nn.Linear(4, 1), torch.nn.Flatten(0)).double()
    program = torch.export.export(module, (torch.zeros(3, 4, dtype=torch.float64),), dynamic_shapes=({0: rows},))
    assert list(TrainedModel.torch(program).files) == ["model.pt2"]
    files = TrainedModel.torch(program, autocast="bfloat16").files
    assert json.loads(files["torch.json"]) == {"autocast": "bfloat16"}
