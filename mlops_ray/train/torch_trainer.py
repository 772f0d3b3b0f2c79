"""The trainer `torch`: a multilayer perceptron over tables, exported as a graph that loads without this code."""

import copy
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mlops_ray.errors import TrainError
from mlops_ray.evaluation import score
from mlops_ray.model import TrainedModel
from mlops_ray.model.torch_predictor import MODEL_FILE
from mlops_ray.train.tabular_mlp import TabularMLP
from mlops_ray.train.trial_context import TrialContext

__all__ = ["check_torch_params", "train_torch"]


@dataclass(frozen=True)
class _Params:
    """Hyperparameters of the trainer."""

    hidden: int = 64
    layers: int = 2
    dropout: float = 0.1
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    batch_size: int = 256
    patience: int = 10  # epochs without getting better


def train_torch(context: TrialContext) -> TrainedModel:
    """Train with AdamW for up to `max_iterations` epochs; the model has the weights of the best one."""
    params = _Params(**{name: type(getattr(_Params, name))(value) for name, value in context.params.items()})
    torch.manual_seed(context.seed)
    torch.set_num_threads(context.threads)
    device = torch.device(context.device)
    net = TabularMLP(
        context.signature,
        context.x_train,
        context.y_train,
        hidden=[params.hidden] * params.layers,
        dropout=params.dropout,
    ).to(device)
    _fit(net, context, params, device)
    return TrainedModel("torch", {MODEL_FILE: _exported(net.cpu().eval(), len(context.signature.inputs))})


def check_torch_params(names: Iterable[str]) -> None:
    """TrainError for a hyperparameter the trainer does not have."""
    known = list(_Params.__dataclass_fields__)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise TrainError(f"train.space: {unknown[0]!r} is no parameter of the torch trainer; it has {', '.join(known)}")


def _fit(net: TabularMLP, context: TrialContext, params: _Params, device: torch.device) -> None:
    rows, labels = _tensor(context.x_train, device), _tensor(context.y_train, device)
    valid = _tensor(context.x_valid, device)
    targets = net.targets(labels)
    loss: nn.Module = nn.BCEWithLogitsLoss() if net.binary else nn.MSELoss()
    optimizer = torch.optim.AdamW(net.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)
    sign = 1.0 if context.maximize else -1.0
    best, best_epoch, best_weights = -float("inf"), 0, copy.deepcopy(net.state_dict())
    for epoch in range(1, context.max_iterations + 1):
        net.train()
        for batch in torch.randperm(len(rows)).to(device).split(params.batch_size):
            optimizer.zero_grad()
            loss(net(rows[batch]), targets[batch]).backward()
            optimizer.step()
        value = _validate(net, valid, context)
        if sign * value > best:
            best, best_epoch, best_weights = sign * value, epoch, copy.deepcopy(net.state_dict())
        if epoch % context.report_every == 0:
            context.report(epoch, {context.metric: value})
        if epoch - best_epoch >= params.patience:
            break
    net.load_state_dict(best_weights)


def _validate(net: TabularMLP, valid: Tensor, context: TrialContext) -> float:
    net.eval()
    with torch.inference_mode():
        return score(context.metric, context.y_valid, net.predictions(valid).cpu().numpy())


def _tensor(values: Any, device: torch.device) -> Tensor:
    # a copy: what comes from Ray's object store is read-only, which torch does not know
    return torch.tensor(values, dtype=torch.float64, device=device)


class _Predictions(nn.Module):
    """`predictions` as the forward that is exported."""

    def __init__(self, net: TabularMLP) -> None:
        super().__init__()
        self.net = net

    def forward(self, rows: Tensor) -> Tensor:
        """(rows, inputs) to (rows,)."""
        return self.net.predictions(rows)


def _exported(net: TabularMLP, inputs: int) -> bytes:
    example = torch.zeros(3, inputs, dtype=torch.float64)
    shapes = ({0: torch.export.Dim("rows")},)
    program = torch.export.export(_Predictions(net).eval(), (example,), dynamic_shapes=shapes)
    content = io.BytesIO()
    torch.export.save(program, content)
    return content.getvalue()
