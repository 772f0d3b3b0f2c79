from pathlib import Path

import pytest

from mlops_ray.errors import ModelError
from mlops_ray.model import TrainedModel
from mlops_ray.train.trial import load_model, read_model


def test_the_files_of_a_checkpoint_are_the_model(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a.bin").write_bytes(b"1")
    (tmp_path / "predictor.json").write_bytes(b"{}")
    (tmp_path / "flavor.json").write_text('"python"')
    (tmp_path / ".tune_metadata").write_bytes(b"2")
    assert read_model(tmp_path) == TrainedModel("python", {"predictor.json": b"{}", "weights/a.bin": b"1"})


def test_a_model_that_cannot_be_loaded_fails_where_it_was_made(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model.lgb.txt: not a LightGBM model"):
        load_model(TrainedModel("lightgbm", {"model.lgb.txt": b"?"}), tmp_path)
