"""Nets as graphs that load without the code that built them."""

from typing import Protocol

import torch
from torch import Tensor, nn

__all__ = ["Predicting", "exported"]


class Predicting(Protocol):
    """A net that makes predictions of raw encoded rows."""

    def predictions(self, rows: Tensor) -> Tensor:
        """float64 (rows, width) to float64 (rows,) or (rows, classes)."""
        ...


class _Predictions(nn.Module):
    """`predictions` as the forward that is exported."""

    def __init__(self, net: Predicting) -> None:
        super().__init__()
        self.net = net

    def forward(self, rows: Tensor) -> Tensor:
        """(rows, width) to (rows,) or (rows, classes)."""
        return self.net.predictions(rows)


def exported(net: Predicting, width: int) -> torch.export.ExportedProgram:
    """The predictions of a net on the CPU, for any number of rows of `width` columns."""
    example = torch.zeros(3, width, dtype=torch.float64)
    shapes = ({0: torch.export.Dim("rows")},)
    return torch.export.export(_Predictions(net).eval(), (example,), dynamic_shapes=shapes)
