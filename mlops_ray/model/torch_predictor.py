"""PyTorch modules saved by torch.export: a graph and weights, which load without the code that built them."""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

# this module is imported only where a torch model is loaded; torch takes 1 to 2 s
import torch
import torch.export.passes
from numpy.typing import NDArray

from mlops_ray.errors import ModelError, PredictionError

__all__ = ["MODEL_FILE", "TorchPredictor"]

MODEL_FILE = "model.pt2"


class TorchPredictor:
    """An exported module that maps a float64 tensor (rows, inputs), NaN where missing, to one (rows,)."""

    def __init__(self, program: torch.export.ExportedProgram, *, device: str = "cpu") -> None:
        if device != "cpu":
            program = torch.export.passes.move_to_device_pass(program, device)
        # the guards repeat checks of dtype and shape that `predict` makes; they are most of a one-row call
        self._module = program.module(check_guards=False)
        self._device = torch.device(device)
        self._inputs = _columns_of(program)

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu", threads: int = 1) -> "TorchPredictor":
        """The module saved in `folder` on `device`.

        `threads` is set for the whole process, because torch has it nowhere else.

        Raises:
            ModelError: there is no such file, it is no exported program, or the device is not there.
        """
        try:
            torch.set_num_threads(threads)
            return cls(torch.export.load(folder / MODEL_FILE), device=device)
        except (OSError, RuntimeError, ValueError, KeyError, BadZipFile) as error:
            raise ModelError(f"{MODEL_FILE}: not a torch.export program that loads on {device} ({error})") from error

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predictions of the rows.

        Raises:
            PredictionError: the matrix has not as many columns as the model has inputs.
        """
        if matrix.ndim != 2 or matrix.shape[1] != self._inputs:
            raise PredictionError(f"expected a matrix (rows, {self._inputs}), found shape {matrix.shape}")
        rows = torch.from_numpy(np.ascontiguousarray(matrix, dtype=np.float64)).to(self._device)
        with torch.inference_mode():
            answer: NDArray[np.float64] = self._module(rows).to("cpu", torch.float64).numpy()
        return answer


def _columns_of(program: torch.export.ExportedProgram) -> int:
    inputs = [node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs]
    if len(inputs) != 1 or inputs[0].meta["val"].ndim != 2:
        raise ModelError(f"{MODEL_FILE}: expected a program of one matrix (rows, inputs), found {len(inputs)} inputs")
    return int(inputs[0].meta["val"].shape[1])
