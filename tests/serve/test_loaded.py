import numpy as np
import pytest

from mlops_ray.errors import PredictionError
from mlops_ray.serve import Versions
from mlops_ray.serve.loaded import LoadedModel
from mlops_ray.spec import Batching, Serve
from tests.serve.samples import Register, booster, lightgbm_model, python_model, run, sample


def with_serve(loaded: LoadedModel, serve: Serve) -> LoadedModel:
    return LoadedModel(loaded.version, loaded.bundle, serve)


@pytest.mark.parametrize("rows", [1, 2, 20, 200])
def test_answers_are_the_models_own(versions: Versions, register: Register, rows: int) -> None:
    loaded = versions.load(register(lightgbm_model(10)))
    predicted = run(loaded.predict(sample(rows), deadline_s=5))
    np.testing.assert_allclose(predicted.scores, np.asarray(booster(10).predict(sample(rows))), atol=1e-12)


def test_batched_answers_are_the_models_own(versions: Versions, register: Register) -> None:
    loaded = with_serve(versions.load(register(lightgbm_model(10))), Serve(batching=Batching(max_rows=8)))
    predicted = run(loaded.predict(sample(3), deadline_s=5))
    np.testing.assert_allclose(predicted.scores, np.asarray(booster(10).predict(sample(3))), atol=1e-12)


@pytest.mark.parametrize("rows", [1, 40])
@pytest.mark.parametrize(
    ("value", "says"),
    [(-1.0, "raised ValueError: negative amount"), (9.0, "NaN or infinity"), (1.5, "outside 0..1")],
)
def test_what_is_no_prediction_is_an_error(
    versions: Versions, register: Register, value: float, says: str, rows: int
) -> None:
    loaded = versions.load(register(python_model("FirstInput")))
    matrix = np.zeros((rows, 4))
    matrix[-1, 0] = value
    with pytest.raises(PredictionError, match=says):
        run(loaded.predict(matrix, deadline_s=5))


def test_another_shape_than_one_score_a_row_is_an_error(versions: Versions, register: Register) -> None:
    with pytest.raises(PredictionError, match=r"shape \(1, 1\) for 1 rows"):
        versions.load(register(python_model("Column")))


def test_a_model_that_is_too_slow_misses_the_deadline(versions: Versions, register: Register) -> None:
    loaded = versions.load(register(python_model("Slow")))
    with pytest.raises(PredictionError, match="no answer within 20 ms"):
        run(loaded.predict(np.zeros((1, 4)), deadline_s=0.02))
