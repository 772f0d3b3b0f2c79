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


class Centred(torch.nn.Module):
    """Computes with the number of rows: a trace of it would be right for as many rows as it was traced with."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = rows[:, 0] * rows.shape[0]
        return total


class Split(torch.nn.Module):
    """Has operations that answer several tensors."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        first, second = rows.split(2, dim=1)
        largest: torch.Tensor = (first * second).max(dim=1).values
        return largest


def exported(module: torch.nn.Module, *, dynamic: bool = True) -> torch.export.ExportedProgram:
    shapes = ({0: torch.export.Dim("rows")},) if dynamic else None
    return torch.export.export(module.eval(), (torch.zeros(3, 4, dtype=torch.float64),), dynamic_shapes=shapes)


@pytest.mark.parametrize("rows", [1, 2, 3, 70])
@pytest.mark.parametrize("module", [Net(), Centred(), Split()], ids=lambda module: type(module).__name__)
def test_what_runs_is_the_module_for_any_number_of_rows(module: torch.nn.Module, rows: int) -> None:
    matrix = np.random.default_rng(rows).normal(size=(rows, 4))
    with torch.inference_mode():
        expected = module.eval()(torch.from_numpy(matrix)).numpy()
    np.testing.assert_allclose(TorchPredictor(exported(module)).predict(matrix), expected, atol=1e-7)


def test_a_program_for_one_number_of_rows_is_refused_with_the_way_out() -> None:
    with pytest.raises(ModelError, match=r"was exported for exactly 3 rows; export it with dynamic_shapes="):
        TorchPredictor(exported(Net(), dynamic=False))


def test_a_program_of_several_answers_is_refused() -> None:
    class Two(torch.nn.Module):
        def forward(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return rows[:, 0], rows[:, 1]

    with pytest.raises(ModelError, match="expected a program of one answer, found 2"):
        TorchPredictor(exported(Two()))


def test_reduced_precision_is_nearly_right_and_not_quite(saved: tuple[Net, Path]) -> None:
    matrix = np.random.default_rng(0).normal(size=(20, 4))
    program = torch.export.load(saved[1] / "model.pt2")
    exact = TorchPredictor(program).predict(matrix)
    reduced = TorchPredictor(torch.export.load(saved[1] / "model.pt2"), autocast=torch.bfloat16).predict(matrix)
    np.testing.assert_allclose(reduced, exact, atol=0.02)
    assert np.abs(reduced - exact).max() > 1e-6


def test_reduced_precision_is_for_gpus_only(saved: tuple[Net, Path], tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes((saved[1] / "model.pt2").read_bytes())
    (tmp_path / "torch.json").write_text('{"autocast": "bfloat16"}')
    matrix = np.random.default_rng(0).normal(size=(20, 4))
    exact = TorchPredictor.load(saved[1]).predict(matrix)
    np.testing.assert_array_equal(TorchPredictor.load(tmp_path).predict(matrix), exact)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_answers_like_the_cpu(saved: tuple[Net, Path]) -> None:
    matrix = np.random.default_rng(0).normal(size=(20, 4))
    cpu, gpu = (TorchPredictor.load(saved[1], device=device).predict(matrix) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(gpu, cpu, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("autocast", ["bfloat16", "float16"])
def test_a_gpu_answers_nearly_alike_in_reduced_precision(
    saved: tuple[Net, Path], tmp_path: Path, autocast: str
) -> None:
    (tmp_path / "model.pt2").write_bytes((saved[1] / "model.pt2").read_bytes())
    (tmp_path / "torch.json").write_text(f'{{"autocast": "{autocast}"}}')
    matrix = np.random.default_rng(0).normal(size=(20, 4))
    cpu = TorchPredictor.load(saved[1]).predict(matrix)
    gpu = TorchPredictor.load(tmp_path, device="cuda").predict(matrix)
    np.testing.assert_allclose(gpu, cpu, atol=0.02)
    assert np.abs(gpu - cpu).max() > 1e-6


def test_an_unknown_precision_is_refused(saved: tuple[Net, Path], tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes((saved[1] / "model.pt2").read_bytes())
    (tmp_path / "torch.json").write_text('{"autocast": "int4"}')
    with pytest.raises(ModelError, match="expected autocast bfloat16 or float16, found 'int4'"):
        TorchPredictor.load(tmp_path)
