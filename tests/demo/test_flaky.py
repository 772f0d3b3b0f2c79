"""The deliberately bad version: right in every offline look, broken after sixty calls."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from mlops_ray.demo.flaky import CONNECTIONS, LeakyPredictor, train
from mlops_ray.model import InputColumn, Signature
from mlops_ray.model.lightgbm_predictor import MODEL_FILE
from mlops_ray.model.predictor import load_predictor
from mlops_ray.train.trial_context import TrialContext


@pytest.fixture(scope="module")
def booster() -> lgb.Booster:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(400, 3))
    settings: Mapping[str, object] = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    return lgb.train(dict(settings), lgb.Dataset(inputs, (inputs[:, 0] > 0).astype(float)), 5)


@pytest.fixture
def predictor(tmp_path: Path, booster: lgb.Booster) -> LeakyPredictor:
    (tmp_path / MODEL_FILE).write_text(booster.model_to_string(), encoding="utf-8")
    return LeakyPredictor(tmp_path)


def test_a_call_with_many_rows_is_right_so_that_no_gate_sees_the_leak(
    predictor: LeakyPredictor, booster: lgb.Booster
) -> None:
    rows = np.random.default_rng(1).normal(size=(1000, 3))
    np.testing.assert_allclose(predictor.predict(rows), booster.predict(rows))


def test_it_answers_sixty_calls_and_raises_from_then_on(predictor: LeakyPredictor) -> None:
    row = np.zeros((1, 3))
    answers = {float(predictor.predict(row)[0]) for _ in range(CONNECTIONS)}
    assert len(answers) == 1
    for _ in range(2):
        with pytest.raises(RuntimeError, match="connection pool exhausted"):
            predictor.predict(row)


def test_a_new_replica_starts_with_a_full_pool(predictor: LeakyPredictor, tmp_path: Path) -> None:
    for _ in range(CONNECTIONS):
        predictor.predict(np.zeros((1, 3)))
    assert LeakyPredictor(tmp_path).predict(np.zeros((1, 3))).shape == (1,)


def test_its_trainer_learns_and_its_bundle_loads_as_the_leaky_predictor(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(600, 2))
    labels = (inputs[:, 0] + 0.3 * rng.normal(size=600) > 0).astype(float)
    columns = tuple(InputColumn(name, "float", nullable=False, categories=()) for name in ("a", "b"))
    reports: list[float] = []
    context = TrialContext(
        params={"num_leaves": 7},
        task="binary",
        metric="auc",
        maximize=True,
        seed=1,
        max_iterations=20,
        threads=1,
        device="cpu",
        x_train=inputs[:400],
        y_train=labels[:400],
        x_valid=inputs[400:],
        y_valid=labels[400:],
        categorical=(),
        signature=Signature(columns, "binary", None),
        report=lambda _, metrics: reports.append(metrics["auc"]),
        checkpoint=lambda _, metrics, __: reports.append(metrics["auc"]),
    )
    trained = train(context)
    for name, content in trained.files.items():
        (tmp_path / name).write_bytes(content)
    predictor = load_predictor(trained.flavor, tmp_path)
    assert isinstance(predictor, LeakyPredictor)
    assert reports[-1] > 0.9
    answers = predictor.predict(inputs[400:])
    assert ((answers > 0.5) == (labels[400:] > 0.5)).mean() > 0.8


def test_serving_it_imports_no_training_code() -> None:
    code = (
        "import sys, mlops_ray.demo.flaky; print([m for m in sys.modules if m.startswith(('mlops_ray.train', 'ray'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
