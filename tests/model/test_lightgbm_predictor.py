from pathlib import Path

import lightgbm
import numpy as np
import pytest

from mlops_ray.errors import ModelError, PredictionError
from mlops_ray.model.lightgbm_predictor import LightGBMPredictor
from tests.model.conftest import sample


def test_single_rows_equal_the_booster(booster: lightgbm.Booster) -> None:
    rows = sample(100)
    predictor = LightGBMPredictor(booster)
    singles = np.concatenate([predictor.predict(rows[i : i + 1]) for i in range(len(rows))])
    np.testing.assert_allclose(singles, booster.predict(rows), rtol=0, atol=1e-12)


@pytest.mark.parametrize("rows", [0, 1, 2, 8, 9, 64])
def test_any_number_of_rows_equals_the_booster(booster: lightgbm.Booster, rows: int) -> None:
    expected = booster.predict(sample())[:rows]
    np.testing.assert_allclose(LightGBMPredictor(booster).predict(sample()[:rows]), expected, rtol=0, atol=1e-12)


def test_rows_that_are_not_contiguous_are_predicted_right(booster: lightgbm.Booster) -> None:
    rows = np.asfortranarray(sample(4))
    expected = booster.predict(np.ascontiguousarray(rows))
    np.testing.assert_allclose(LightGBMPredictor(booster).predict(rows), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 3), (1, 5), (4,)])
def test_another_number_of_columns_is_refused(booster: lightgbm.Booster, shape: tuple[int, ...]) -> None:
    with pytest.raises(PredictionError, match=r"expected a matrix \(rows, 4\), found shape"):
        LightGBMPredictor(booster).predict(np.zeros(shape))


def test_without_the_fast_path_answers_stay_the_same(booster: lightgbm.Booster) -> None:
    slow = LightGBMPredictor(booster)
    slow._single = None
    np.testing.assert_allclose(slow.predict(sample(1)), LightGBMPredictor(booster).predict(sample(1)), atol=1e-12)


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.lgb.txt").write_text("not a tree")
    with pytest.raises(ModelError, match=r"model.lgb.txt: not a LightGBM model"):
        LightGBMPredictor.load(tmp_path)
