import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mlops_ray.errors import TrainError
from mlops_ray.evaluation import score
from mlops_ray.model import encode
from mlops_ray.train import TrialContext, train_torchvision
from mlops_ray.train.torchvision_trainer import rate_at
from mlops_ray.train.trial import load_model
from mlops_ray.train.vision_params import VisionParams, check_torchvision_params
from tests.train.pictures import CLASSES, picture_context

PARAMS = {"width": 8, "learning_rate": 0.02, "batch_size": 32, "augment": "none"}


def predictions(context: TrialContext, folder: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What the model that the trainer makes answers to the validation pictures, loaded as a server does."""
    model = load_model(train_torchvision(context), folder, signature=context.signature)
    return model.predict(encode(context.signature, context.valid_pictures))


def of_shape(context: TrialContext, shape: tuple[int, int, int]) -> TrialContext:
    """The same with a signature to whose shape the pictures are brought."""
    column = replace(context.signature.inputs[0], shape=shape)
    return replace(context, signature=replace(context.signature, inputs=(column,)))


def test_the_model_has_learnt_what_the_classes_look_like(tmp_path: Path) -> None:
    reports: list[tuple[int, dict[str, float]]] = []
    context = picture_context(reports, params=PARAMS, max_iterations=8)
    found = predictions(context, tmp_path)
    assert found.shape == (90, len(CLASSES))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert score("accuracy", context.y_valid, found) > 0.9
    assert [iteration for iteration, _ in reports] == list(range(1, 9))


def test_what_is_loaded_answers_as_the_net_did_in_its_best_epoch(tmp_path: Path) -> None:
    reports: list[tuple[int, dict[str, float]]] = []
    context = picture_context(reports, params=PARAMS, max_iterations=4, metric="log_loss", maximize=False)
    found = score("log_loss", context.y_valid, predictions(context, tmp_path))
    assert found == pytest.approx(min(metrics["log_loss"] for _, metrics in reports), rel=1e-5)


def test_a_binary_task_has_one_probability(tmp_path: Path) -> None:
    context = picture_context(params=PARAMS | {"label_smoothing": 0.1}, binary=True, metric="auc", max_iterations=6)
    found = predictions(context, tmp_path)
    assert found.shape == (90,)
    assert score("auc", context.y_valid, found) > 0.9


@pytest.mark.parametrize("decoding", ["once", "each_epoch"])
@pytest.mark.parametrize("augment", ["crop_flip", "trivial"])
def test_the_same_seed_gives_the_same_predictions(tmp_path: Path, decoding: str, augment: str) -> None:
    params = PARAMS | {"decoding": decoding, "augment": augment}
    context = picture_context(params=params, max_iterations=2, rows=90)
    first = predictions(context, tmp_path / "a")
    np.testing.assert_array_equal(first, predictions(context, tmp_path / "b"))
    assert not np.array_equal(first, predictions(replace(context, seed=2), tmp_path / "c"))


def test_pictures_decoded_each_epoch_teach_what_they_teach_in_memory(tmp_path: Path) -> None:
    first, second = (
        predictions(picture_context(params=PARAMS | {"decoding": how, "augment": "crop_flip"}), tmp_path / how)
        for how in ("once", "each_epoch")
    )
    np.testing.assert_array_equal(first, second)


def test_a_trial_that_goes_on_from_a_checkpoint_makes_the_model_of_one_that_was_never_stopped(tmp_path: Path) -> None:
    states: dict[int, bytes] = {}

    def keep(iteration: int, _: object, state: Callable[[], bytes]) -> None:
        states[iteration] = state()

    params = PARAMS | {"augment": "crop_flip", "dropout": 0.3}
    whole = predictions(picture_context(params=params, max_iterations=4, checkpoint=keep), tmp_path / "a")
    rest = picture_context(params=params, max_iterations=4, resume=states[2])
    np.testing.assert_array_equal(whole, predictions(rest, tmp_path / "b"))


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 9, 1), (16, 12, 3)])
def test_pictures_of_any_size_and_both_numbers_of_channels_train(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    context = of_shape(picture_context(params=PARAMS, max_iterations=1, rows=30), shape)
    assert predictions(context, tmp_path).shape == (90, 3)


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v3_small"])
def test_models_of_torchvision_train_on_grey_and_coloured_pictures(tmp_path: Path, architecture: str) -> None:
    shape = (32, 32, 1 if architecture == "resnet18" else 3)
    context = picture_context(params={"architecture": architecture, "batch_size": 16}, rows=32, max_iterations=1)
    assert predictions(of_shape(context, shape), tmp_path).shape == (90, 3)


def test_half_precision_learns_as_well(tmp_path: Path) -> None:
    context = picture_context(params=PARAMS | {"precision": "bfloat16"}, max_iterations=8)
    assert score("accuracy", context.y_valid, predictions(context, tmp_path)) > 0.9


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
# torch.compile imports code of torch that torch itself has deprecated
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_compiled_net_learns_as_well(tmp_path: Path) -> None:
    context = picture_context(params=PARAMS | {"compile": True}, max_iterations=8)
    assert score("accuracy", context.y_valid, predictions(context, tmp_path)) > 0.9


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"augment": "mixup"}, "augment: expected none, crop_flip or trivial, found 'mixup'"),
        ({"precision": "float16"}, "float16 is for CUDA"),
        ({"architecture": "resnet19"}, "expected small or a classification model of torchvision, such as resnet18"),
        ({"architecture": "alexnet"}, "alexnet does not take pictures of 8 x 8 pixels"),
        ({"batch_size": 1}, "expected two pictures for each of 1 workers"),
        ({"width": 0}, "width: expected 1 or more, found 0"),
        ({"label_smoothing": 1.0}, "label_smoothing and dropout from 0 up to below 1"),
    ],
)
def test_a_value_that_it_cannot_have_is_refused(params: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TrainError, match=sentence):
        train_torchvision(picture_context(params=params))


def test_a_hyperparameter_the_trainer_does_not_have_is_refused_with_those_it_has() -> None:
    check_torchvision_params(VisionParams.__dataclass_fields__)
    with pytest.raises(TrainError, match="'depth' is no parameter of the torchvision trainer; it has architecture"):
        check_torchvision_params(["depth"])


def test_a_table_without_pictures_is_refused() -> None:
    with pytest.raises(TrainError, match="needs pictures: a feature of type image"):
        train_torchvision(picture_context(train_pictures=None))


def test_one_cycle_rises_to_the_rate_and_falls_to_next_to_nothing() -> None:
    rates = [rate_at(VisionParams(learning_rate=0.1), done) for done in np.linspace(0, 1, 101)]
    assert max(rates) == rates[25] == pytest.approx(0.1)
    assert rates[0] < 0.001
    assert rates[-1] < 0.001
    assert rate_at(VisionParams(learning_rate=0.1, schedule="constant"), 0.9) == 0.1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_gpu_trains_a_model_that_the_cpu_loads(tmp_path: Path, precision: str) -> None:
    params = PARAMS | {"precision": precision, "augment": "crop_flip"}
    context = picture_context(params=params, max_iterations=12, device="cuda")
    assert score("accuracy", context.y_valid, predictions(context, tmp_path)) > 0.8
