from pathlib import Path

import numpy as np
import pytest
import torch

from mlops_ray.errors import ModelError, PredictionError
from mlops_ray.model.torch_predictor import TorchPredictor


class Net(torch.nn.Module):
    """Two layers over filled-in inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        filled = torch.nan_to_num(rows).float()
        return torch.sigmoid(self.layers(filled)).squeeze(1).double()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Net, Path]:
    torch.manual_seed(0)
    net = Net().eval()
    rows = torch.export.Dim("rows")
    program = torch.export.export(net, (torch.zeros(3, 4, dtype=torch.float64),), dynamic_shapes=({0: rows},))
    folder = tmp_path_factory.mktemp("torch")
    torch.export.save(program, folder / "model.pt2")
    return net, folder


@pytest.mark.parametrize("rows", [0, 1, 2, 50])
def test_predictions_equal_the_eager_module(saved: tuple[Net, Path], rows: int) -> None:
    net, folder = saved
    matrix = np.random.default_rng(0).normal(size=(rows, 4))
    matrix[:1, 2] = np.nan
    with torch.inference_mode():
        expected = net(torch.from_numpy(matrix)).numpy()
    np.testing.assert_allclose(TorchPredictor.load(folder).predict(matrix), expected, atol=1e-7)


def test_another_number_of_columns_is_refused(saved: tuple[Net, Path]) -> None:
    with pytest.raises(PredictionError, match=r"expected a matrix \(rows, 4\), found shape \(1, 5\)"):
        TorchPredictor.load(saved[1]).predict(np.zeros((1, 5)))


def test_a_file_that_is_no_program_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes(b"no zip")
    with pytest.raises(ModelError, match=r"model.pt2: not a torch.export program that loads on cpu"):
        TorchPredictor.load(tmp_path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_answers_like_the_cpu(saved: tuple[Net, Path]) -> None:
    matrix = np.random.default_rng(0).normal(size=(20, 4))
    cpu, gpu = (TorchPredictor.load(saved[1], device=device).predict(matrix) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(gpu, cpu, atol=1e-5)
