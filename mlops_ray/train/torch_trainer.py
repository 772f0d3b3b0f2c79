"""The trainer `torch`: a multilayer perceptron over tables, exported as a graph that loads without this code."""

import copy
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mlops_ray.errors import TrainError
from mlops_ray.evaluation import score
from mlops_ray.model import TrainedModel
from mlops_ray.train.exported import exported
from mlops_ray.train.tabular_mlp import TabularMLP
from mlops_ray.train.trial_context import TrialContext

__all__ = ["check_torch_params", "train_torch"]

_PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class _Params:
    """Hyperparameters of the trainer."""

    hidden: int = 64
    layers: int = 2
    dropout: float = 0.1
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    batch_size: int = 256  # of all workers together
    patience: int = 10  # epochs without getting better
    precision: str = "float32"  # bfloat16: weights stay float32, layers compute in half of it
    compile: bool = False  # torch.compile: seconds at the start, faster epochs on a GPU


def train_torch(context: TrialContext) -> TrainedModel:
    """Train with AdamW for up to `max_iterations` epochs; the model has the weights of the best one.

    A trial with `context.resume` goes on from there, with its own learning rate, weight decay and dropout.

    Raises:
        TrainError: a hyperparameter has a value that it cannot have.
    """
    params = _parsed(context)
    torch.manual_seed(context.seed)
    torch.set_num_threads(context.threads)
    net = TabularMLP(
        context.signature,
        context.x_train,
        context.y_train,
        hidden=[params.hidden] * params.layers,
        dropout=params.dropout,
        flag_all=context.workers > 1,  # each sees other rows, and they need the same layers
    ).to(torch.device(context.device))
    _Fit(net, context, params).run()
    return TrainedModel.torch(exported(net.cpu().eval(), context.signature.width))


def check_torch_params(names: Iterable[str]) -> None:
    """TrainError for a hyperparameter the trainer does not have."""
    known = list(_Params.__dataclass_fields__)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise TrainError(f"train.space: {unknown[0]!r} is no parameter of the torch trainer; it has {', '.join(known)}")


def _parsed(context: TrialContext) -> _Params:
    params = _Params(**{name: type(getattr(_Params, name))(value) for name, value in context.params.items()})
    if params.precision not in _PRECISIONS:
        raise TrainError(f"train.space.precision: expected {' or '.join(_PRECISIONS)}, found {params.precision!r}")
    if params.batch_size < context.workers:
        raise TrainError(f"train.space.batch_size: expected a row for each of {context.workers} workers")
    return params


class _Fit:
    """The epochs of one trial."""

    def __init__(self, net: TabularMLP, context: TrialContext, params: _Params) -> None:
        self._net = net
        self._context = context
        self._params = params
        self._device = torch.device(context.device)
        # it gives every worker the first one's weights, and what that learnt of the numbers' scales
        self._shared = DistributedDataParallel(net) if context.workers > 1 else net
        self._step = torch.compile(self._shared) if params.compile else self._shared
        self._loss = _loss_of(net)
        self._optimizer = torch.optim.AdamW(
            net.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay, fused=True
        )
        self._shuffle = torch.Generator().manual_seed(context.seed)
        self._rows = self._common(len(context.y_train))
        self._epoch = 0
        self._best, self._best_epoch, self._best_weights = -float("inf"), 0, copy.deepcopy(net.state_dict())
        if context.resume is not None:
            self._take_over(context.resume)

    def run(self) -> None:
        """Train; the net has the weights of the best epoch afterwards."""
        context, net = self._context, self._net
        # what does not change from epoch to epoch is computed once
        inputs, codes = net.encode(self._tensor(context.x_train))
        targets = net.targets(self._tensor(context.y_train))
        valid = net.encode(self._tensor(context.x_valid))
        sign = 1.0 if context.maximize else -1.0
        while self._epoch < context.max_iterations:
            self._epoch += 1
            self._train(inputs, codes, targets)
            value = self._validate(*valid)
            if sign * value > self._best:
                self._best, self._best_epoch = sign * value, self._epoch
                self._best_weights = copy.deepcopy(net.state_dict())
            if self._epoch % context.report_every == 0:
                context.checkpoint(self._epoch, {context.metric: value}, self._state)
            if self._epoch - self._best_epoch >= self._params.patience:
                break
        net.load_state_dict(self._best_weights)

    def _train(self, inputs: Tensor, codes: Tensor, targets: Tensor) -> None:
        """One epoch."""
        self._net.train()
        order = torch.randperm(len(targets), generator=self._shuffle)[: self._rows].to(self._device)
        half = self._params.precision == "bfloat16"
        for batch in order.split(self._params.batch_size // self._context.workers):
            self._optimizer.zero_grad()
            with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=half):
                raw = self._step(inputs.index_select(0, batch), codes.index_select(0, batch))
            self._loss(raw.float(), targets.index_select(0, batch)).backward()
            self._optimizer.step()

    def _validate(self, inputs: Tensor, codes: Tensor) -> float:
        self._net.eval()
        with torch.inference_mode():
            predictions = self._net.answers(self._net(inputs, codes))
        value = score(self._context.metric, self._context.y_valid, predictions.cpu().numpy())
        if self._context.workers == 1:
            return value
        # workers that differ in the last digit would not stop at the same epoch, and wait for each other for ever
        shared = torch.tensor([value], dtype=torch.float64, device=self._device)
        torch.distributed.broadcast(shared, src=0)
        return float(shared.item())

    def _common(self, rows: int) -> int:
        """Rows an epoch has: as many as every worker has, since all of them have to take each step together."""
        if self._context.workers == 1:
            return rows
        fewest = torch.tensor([rows], device=self._device)
        torch.distributed.all_reduce(fewest, op=torch.distributed.ReduceOp.MIN)
        return int(fewest.item())

    def _state(self) -> bytes:
        content = io.BytesIO()
        torch.save(
            {
                "net": self._net.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "shuffle": self._shuffle.get_state(),
                "random": torch.get_rng_state(),
                "epoch": self._epoch,
                "best": (self._best, self._best_epoch, self._best_weights),
            },
            content,
        )
        return content.getvalue()

    def _take_over(self, state: bytes) -> None:
        taken = torch.load(io.BytesIO(state), map_location=self._device, weights_only=True)
        self._net.load_state_dict(taken["net"])
        self._optimizer.load_state_dict(taken["optimizer"])
        for group in self._optimizer.param_groups:  # these are this trial's own
            group["lr"], group["weight_decay"] = self._params.learning_rate, self._params.weight_decay
        self._shuffle.set_state(taken["shuffle"].cpu())
        torch.set_rng_state(taken["random"].cpu())
        self._epoch = taken["epoch"]
        self._best, self._best_epoch, self._best_weights = taken["best"]

    def _tensor(self, values: Any) -> Tensor:
        # a copy: what comes from Ray's object store is read-only, which torch does not know
        return torch.tensor(values, dtype=torch.float64, device=self._device)


def _loss_of(net: TabularMLP) -> nn.Module:
    if net.classes:
        return nn.CrossEntropyLoss()
    return nn.BCEWithLogitsLoss() if net.binary else nn.MSELoss()
