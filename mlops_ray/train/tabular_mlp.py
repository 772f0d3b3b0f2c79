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
    """Embeddings for categories, standardised numbers with a flag where some are missing, then dense layers.

    `encode` takes float64 (rows, inputs) as `mlops_ray.model.encode` makes them, and what it gives never changes while
    the net learns; `forward` makes raw scores of it, (rows,) or (rows, classes); `predictions` does both, through a
    sigmoid for a binary task, a softmax for a multiclass one, in the label's unit for a regression. A number missing
    in no training row counts as their mean.
    """

    numeric: Tensor
    flagged: Tensor
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
        flag_all: bool = False,
    ) -> None:
        """Learn scales from `matrix` and `labels`; with `flag_all` the layers do not depend on which rows these are."""
        super().__init__()
        self.binary = signature.task == "binary"
        self.classes = len(signature.classes)
        self.categorical = list(signature.categorical)
        numeric = [i for i in range(len(signature.inputs)) if i not in self.categorical]
        # a plain attribute when empty: torch.export cannot save tensors without elements
        self._keep("numeric", torch.tensor(numeric, dtype=torch.long))
        # one more code for unseen values and one for missing ones
        self.sizes = [len(signature.inputs[i].categories) + 2 for i in self.categorical]
        self.embeddings = nn.ModuleList(nn.Embedding(size, _width(size)) for size in self.sizes)
        self._remember(matrix[:, numeric], labels, flag_all=flag_all)
        widths = [len(numeric) + len(self.flagged) + sum(_width(size) for size in self.sizes), *hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], self.classes or 1))

    def encode(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers and flags float32 (rows, n), and codes of the categories int64 (rows, categories)."""
        codes = [
            torch.nan_to_num(rows[:, place], nan=float(size - 1)).long().clamp(0, size - 1)
            for place, size in zip(self.categorical, self.sizes, strict=True)
        ]
        none = rows[:, :0]
        numbers = torch.cat(self._numbers(rows), dim=1) if len(self.numeric) else none.float()
        return numbers, torch.stack(codes, dim=1) if codes else none.long()

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Raw scores (rows,) or (rows, classes) for what `encode` gave."""
        embedded = [embedding(codes[:, i]) for i, embedding in enumerate(self.embeddings)]
        answer: Tensor = self.layers(torch.cat([numbers, *embedded], dim=1))
        return answer if self.classes else answer.squeeze(1)

    def predictions(self, rows: Tensor) -> Tensor:
        """Predictions (rows,) or (rows, classes) in float64."""
        return self.answers(self(*self.encode(rows)))

    def answers(self, raw: Tensor) -> Tensor:
        """Raw scores as predictions in float64."""
        raw = raw.double()
        if self.classes:
            return torch.softmax(raw, dim=1)
        return torch.sigmoid(raw) if self.binary else raw * self.label_std + self.label_mean

    def targets(self, labels: Tensor) -> Tensor:
        """Labels as `forward` is to meet them: standardised in a regression, places of classes as int64."""
        if self.classes:
            return labels.long()
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
        return (
            [scaled.float(), missing.index_select(1, self.flagged).float()] if len(self.flagged) else [scaled.float()]
        )

    def _remember(self, numbers: NDArray[np.float64], labels: NDArray[np.float64], *, flag_all: bool) -> None:
        known = np.isfinite(numbers)
        self._keep("flagged", torch.from_numpy(np.flatnonzero(~known.all(axis=0) | flag_all)))
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
