"""PyTorch modules saved by torch.export: a graph and weights, which load without the code that built them."""

import json
import operator
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

# this module is imported only where a torch model is loaded; torch takes 1 to 2 s
import torch
import torch.export.passes
from numpy.typing import NDArray
from torch.fx.graph import CodeGen

from mlops_ray.errors import ModelError, PredictionError
from mlops_ray.model.trained import TORCH_FILE as MODEL_FILE
from mlops_ray.model.trained import TORCH_OPTIONS

__all__ = ["MODEL_FILE", "TorchPredictor"]

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}
_NO_CALLS = ("placeholder", "get_attr", "output")
_Forward = Callable[[torch.Tensor], torch.Tensor]


class TorchPredictor:
    """An exported module that maps a float64 tensor (rows, inputs), NaN where missing, to (rows,) or (rows, classes).

    `autocast` lets torch use that precision where it considers it safe, which changes the answers in their third digit.
    """

    def __init__(
        self, program: torch.export.ExportedProgram, *, device: str = "cpu", autocast: torch.dtype | None = None
    ) -> None:
        self._inputs = _columns_of(program)
        if device != "cpu":
            program = torch.export.passes.move_to_device_pass(program, device)
        self._device = torch.device(device)
        self._autocast = autocast
        self._module = module = _without_checks(program)
        scripted = _scripted(module, self._inputs) if device == "cpu" and autocast is None else None
        self._forward: _Forward = scripted or module.forward

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu", threads: int = 1) -> "TorchPredictor":
        """The module saved in `folder` on `device`.

        `threads` is set for the whole process, because torch has it nowhere else.

        Raises:
            ModelError: there is no such file, it is no exported program, or the device is not there.
        """
        try:
            torch.set_num_threads(threads)
            program = torch.export.load(folder / MODEL_FILE)
            autocast = _autocast_of(folder / TORCH_OPTIONS)
            return cls(program, device=device, autocast=autocast if device.startswith("cuda") else None)
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
        with torch.inference_mode(), self._precision():
            answer: NDArray[np.float64] = self._forward(rows).to("cpu", torch.float64).numpy()
        return answer

    def gradients(self, matrix: NDArray[np.float64], place: int | None) -> NDArray[np.float64]:
        """(rows, inputs): the derivative of each row's answer, or of that of class `place`, by its own inputs.

        Raises:
            RuntimeError: the graph has no derivative.
        """
        rows = torch.from_numpy(np.ascontiguousarray(matrix, dtype=np.float64)).to(self._device).requires_grad_()
        with torch.enable_grad():
            answers = self._module(rows)
            total = (answers if place is None else answers[:, place]).sum()
            (slopes,) = torch.autograd.grad(total, rows)
        found: NDArray[np.float64] = slopes.to("cpu", torch.float64).numpy()
        return found

    def _precision(self) -> AbstractContextManager[Any]:
        if self._autocast is None:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=self._autocast)


def _columns_of(program: torch.export.ExportedProgram) -> int:
    inputs = [node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs]
    if len(inputs) != 1 or inputs[0].meta["val"].ndim != 2:
        raise ModelError(f"{MODEL_FILE}: expected a program of one matrix (rows, inputs), found {len(inputs)} inputs")
    if len(program.graph_signature.user_outputs) != 1:
        raise ModelError(
            f"{MODEL_FILE}: expected a program of one answer, found {len(program.graph_signature.user_outputs)}"
        )
    rows, columns = inputs[0].meta["val"].shape
    if isinstance(rows, int):
        raise ModelError(
            f"{MODEL_FILE}: was exported for exactly {rows} rows; export it with "
            'dynamic_shapes=({0: torch.export.Dim("rows")},)'
        )
    return int(columns)


def _without_checks(program: torch.export.ExportedProgram) -> torch.fx.GraphModule:
    """The program's graph, without the checks of dtype and shape that `predict` makes: they take half of a call."""
    module: torch.fx.GraphModule = program.module(check_guards=False)
    module._forward_pre_hooks.clear()
    for node in list(module.graph.nodes):
        if node.target is torch.ops.aten._assert_tensor_metadata.default:
            module.graph.erase_node(node)
        elif node.op == "output":
            # without the exporter's packing of arguments and answers the graph answers the tensor itself
            node.args = (node.args[0][0],)
    module.graph.set_codegen(CodeGen())
    module.recompile()
    return module


def _scripted(module: torch.fx.GraphModule, inputs: int) -> _Forward | None:
    """The graph run by TorchScript, which calls its operations several times as fast as Python does on a CPU.

    None where it may not be the same: a graph that computes with numbers of rows, which a trace would keep as they are
    in the example, or with anything but torch's own operations. None too where torch has no TorchScript any more.
    """
    if not all(node.op in _NO_CALLS or _is_plain(node) for node in module.graph.nodes):
        return None
    example = torch.zeros(3, inputs, dtype=torch.float64)
    with warnings.catch_warnings():
        # torch asks to export instead, which is what was done
        warnings.simplefilter("ignore")
        try:
            scripted: _Forward = torch.jit.trace(module, example, check_trace=False)
        except (AttributeError, RuntimeError):
            return None
    return scripted


def _is_plain(node: torch.fx.Node) -> bool:
    """Whether the node is an operation of torch that makes tensors and nothing else."""
    made = node.meta.get("val")
    tensors = made if isinstance(made, tuple | list) else (made,)
    known = isinstance(node.target, torch._ops.OpOverload) or node.target is operator.getitem
    return node.op == "call_function" and known and all(isinstance(tensor, torch.Tensor) for tensor in tensors)


def _autocast_of(file: Path) -> torch.dtype | None:
    if not file.is_file():
        return None
    name = json.loads(file.read_text(encoding="utf-8"))["autocast"]
    if name not in _AUTOCAST:
        raise ModelError(f"{file.name}: expected autocast bfloat16 or float16, found {name!r}")
    return _AUTOCAST[name]
