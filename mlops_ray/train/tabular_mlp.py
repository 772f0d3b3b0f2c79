"""A small neural network for tables that takes raw encoded rows: what it learnt of the data is inside of it."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mlops_ray.model import Signature

__all__ = ["TabularMLP"]


class TabularMLP(nn.Module):
    """Embeddings for categories, standardised numbers with a flag for missing ones, then dense layers.

    Takes float64 (rows, inputs) as `encode` makes them; `forward` answers raw scores (rows,), `predictions` those
    through a sigmoid for a binary task and in the label's unit for a regression.
    """

    numeric: Tensor
    mean: Tensor
    std: Tensor
    label_mean: Tensor
    label_std: Tensor

    def __init__(
        self,
        signature: Signature,
        matrix: NDArray[np.float64],
        labels: NDArray[np.float64],
        *,
        hidden: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        self.binary = signature.task == "binary"
        self.categorical = list(signature.categorical)
        numeric = [i for i in range(len(signature.inputs)) if i not in self.categorical]
        # a plain attribute when empty: torch.export cannot save tensors without elements
        self._keep("numeric", torch.tensor(numeric, dtype=torch.long))
        # one more code for unseen values and one for missing ones
        self.sizes = [len(signature.inputs[i].categories) + 2 for i in self.categorical]
        self.embeddings = nn.ModuleList(nn.Embedding(size, _width(size)) for size in self.sizes)
        self._remember(matrix[:, numeric], labels)
        widths = [2 * len(numeric) + sum(_width(size) for size in self.sizes), *hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, rows: Tensor) -> Tensor:
        """Raw scores (rows,) in float32."""
        parts = self._numbers(rows) if len(self.numeric) else []
        for place, size, embedding in zip(self.categorical, self.sizes, self.embeddings, strict=True):
            codes = torch.nan_to_num(rows[:, place], nan=float(size - 1)).long().clamp(0, size - 1)
            parts.append(embedding(codes))
        answer: Tensor = self.layers(torch.cat(parts, dim=1)).squeeze(1)
        return answer

    def predictions(self, rows: Tensor) -> Tensor:
        """Predictions (rows,) in float64."""
        raw = self(rows).double()
        return torch.sigmoid(raw) if self.binary else raw * self.label_std + self.label_mean

    def targets(self, labels: Tensor) -> Tensor:
        """Labels as `forward` is to meet them: standardised in a regression."""
        return (labels if self.binary else (labels - self.label_mean) / self.label_std).float()

    def _keep(self, name: str, values: Tensor) -> None:
        if len(values):
            self.register_buffer(name, values)
        else:
            setattr(self, name, values)

    def _numbers(self, rows: Tensor) -> list[Tensor]:
        numbers = rows.index_select(1, self.numeric)
        missing = ~torch.isfinite(numbers)
        scaled = torch.where(missing, 0.0, (numbers - self.mean) / self.std).clamp(-10, 10)
        return [scaled.float(), missing.float()]

    def _remember(self, numbers: NDArray[np.float64], labels: NDArray[np.float64]) -> None:
        known = np.isfinite(numbers)
        counts = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, numbers, 0.0).sum(axis=0) / counts
        std = np.sqrt((np.where(known, numbers - mean, 0.0) ** 2).sum(axis=0) / counts)
        self._keep("mean", torch.from_numpy(mean))
        self._keep("std", torch.from_numpy(np.where(std > 0, std, 1.0)))
        self.register_buffer("label_mean", torch.tensor(float(labels.mean()), dtype=torch.float64))
        self.register_buffer("label_std", torch.tensor(float(labels.std()) or 1.0, dtype=torch.float64))


def _width(size: int) -> int:
    """Numbers per category, a common rule of thumb (fast.ai's tabular models)."""
    return min(32, round(1.6 * size**0.56))
