"""The trainer `torchvision`: a classifier of pictures, exported as a graph that loads without this code."""

import io
from collections.abc import Iterable
from math import cos, pi

import numpy as np
import torch
from torch import Tensor, nn

from mlops_ray.errors import TrainError
from mlops_ray.evaluation import score
from mlops_ray.model import TrainedModel
from mlops_ray.train.exported import exported
from mlops_ray.train.picture_stream import mixed_seed
from mlops_ray.train.trial_context import TrialContext
from mlops_ray.train.vision_data import PictureSource
from mlops_ray.train.vision_net import build_net, lay_out
from mlops_ray.train.vision_params import VisionParams, parse_params
from mlops_ray.train.vision_team import Team

__all__ = ["rate_at", "train_torchvision"]

_IN_MEMORY = 2**30  # bytes of decoded pictures
_WARM_UP = 0.25  # share of the steps
_LEAST = 0.005  # of the highest learning rate
_HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
_LOOKED_AT = 512  # pictures at a time, that the net answers without learning
_NUMBERS = 2**24  # of these at most


def train_torchvision(context: TrialContext) -> TrainedModel:
    """Train with AdamW for up to `max_iterations` epochs; the model has the weights of the best one.

    A trial with `context.resume` goes on from there, with its own learning rate and weight decay. Whatever is drawn
    in an epoch comes of the seed and the epoch's number, so that it is the same whether the trial was stopped or not.

    Raises:
        TrainError: a hyperparameter has a value that it cannot have, or there are no pictures.
    """
    params = parse_params(context.params, workers=context.workers, device=context.device)
    if context.train_pictures is None or context.valid_pictures is None:
        raise TrainError("the torchvision trainer needs pictures: a feature of type image in data.features")
    torch.manual_seed(context.seed)
    torch.set_num_threads(context.threads)
    return _Fit(context, params).run()


def rate_at(params: VisionParams, done: float) -> float:
    """The learning rate after this share of all steps: one cycle rises in a straight line and falls as a cosine does.

    >>> [round(rate_at(VisionParams(learning_rate=1.0), done), 3) for done in (0.125, 0.25, 0.625, 1.0)]
    [0.5, 1.0, 0.502, 0.005]
    """
    if params.schedule == "constant":
        return params.learning_rate
    if done < _WARM_UP:
        return params.learning_rate * max(_LEAST, done / _WARM_UP)
    fallen = (1 + cos(pi * (done - _WARM_UP) / (1 - _WARM_UP))) / 2
    return params.learning_rate * (_LEAST + (1 - _LEAST) * fallen)


class _Fit:
    """The epochs of one trial."""

    def __init__(self, context: TrialContext, params: VisionParams) -> None:
        self._context, self._params = context, params
        self._device = torch.device(context.device)
        self._train, self._valid = _sources(context, params, self._device)
        self._team = Team(workers=context.workers, strategy=params.strategy, device=self._device)
        self._net = build_net(context.signature, self._train.sample(), params).to(self._device)
        self._shared = self._team.joined(self._net)
        self._step = torch.compile(self._shared) if params.compile else self._shared
        self._optimizer = torch.optim.AdamW(_groups(self._net, params), lr=params.learning_rate)
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=params.precision == "float16")
        self._targets = torch.tensor(context.y_train, device=self._device)
        self._rows = self._team.fewest(len(self._train))
        self._size = params.batch_size // context.workers
        if self._rows < 2:
            raise TrainError(f"expected two pictures to train on at least, found {self._rows}")
        self._epoch = 0
        self._best, self._best_epoch, self._best_weights = -float("inf"), 0, self._team.weights(self._net)
        if context.resume is not None:
            self._take_over(context.resume)

    def run(self) -> TrainedModel:
        """Train; the model has the weights of the best epoch."""
        context = self._context
        sign = 1.0 if context.maximize else -1.0
        while self._epoch < context.max_iterations:
            self._epoch += 1
            loss = self._learn()
            value = self._validate()
            context.log({"train_loss": loss}, self._epoch)
            if sign * value > self._best:
                self._best, self._best_epoch = sign * value, self._epoch
                self._best_weights = self._team.weights(self._net)
            if self._epoch % context.report_every == 0:
                # all workers gather what lies on all of them now; they would not all find a checkpoint due later
                state = self._state() if self._team.sharded else self._state
                context.checkpoint(self._epoch, {context.metric: value}, state)
            if self._epoch - self._best_epoch >= self._params.patience:
                break
        return TrainedModel.torch(self._exported())

    def _learn(self) -> float:
        """One epoch; the mean loss of its steps."""
        params, seed = self._params, mixed_seed(self._context.seed, self._epoch)
        torch.manual_seed(seed)
        self._shared.train()
        order = torch.randperm(len(self._train), generator=torch.Generator().manual_seed(seed))[: self._rows]
        if len(order) > self._size:  # the rest, of another size, takes its turn in another epoch
            order = order[: len(order) - len(order) % self._size]
        batches = self._train.batches(order, size=self._size, augment=params.augment, seed=seed)
        places = order.split(self._size)
        losses = torch.zeros((), device=self._device)
        for number, (chosen, pixels) in enumerate(zip(places, batches, strict=True)):
            self._set_rate((self._epoch - 1 + number / len(places)) / self._context.max_iterations)
            losses += self._one_step(pixels, self._targets.index_select(0, chosen.to(self._device)))
        return float(losses.item()) / len(places)

    def _one_step(self, pixels: Tensor, labels: Tensor) -> Tensor:
        self._optimizer.zero_grad()
        half = _HALVES.get(self._params.precision)
        with torch.autocast(self._device.type, dtype=half, enabled=half is not None):
            raw = self._step(pixels)
        loss = _loss(raw.float(), labels, self._params.label_smoothing)
        self._scaler.scale(loss).backward()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return loss.detach()

    def _set_rate(self, done: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate_at(self._params, done)

    def _validate(self) -> float:
        self._shared.eval()
        shape = self._net.shape
        size = min(_LOOKED_AT, max(8, _NUMBERS // (shape[0] * shape[1] * shape[2])))
        with torch.inference_mode():
            batches = self._valid.batches(torch.arange(len(self._valid)), size=size)
            answers = [self._net.answers(self._net(pixels)).cpu().numpy() for pixels in batches]
        return self._team.agreed(score(self._context.metric, self._context.y_valid, np.concatenate(answers)))

    def _state(self) -> bytes:
        content = io.BytesIO()
        torch.save(
            {
                "net": self._team.weights(self._net),
                "optimizer": self._team.optimizer_state(self._net, self._optimizer),
                "scaler": self._scaler.state_dict(),
                "epoch": self._epoch,
                "best": (self._best, self._best_epoch, self._best_weights),
            },
            content,
        )
        return content.getvalue()

    def _take_over(self, state: bytes) -> None:
        taken = torch.load(io.BytesIO(state), map_location=self._device, weights_only=True)
        self._team.take_weights(self._net, taken["net"])
        self._team.take_optimizer_state(self._net, self._optimizer, taken["optimizer"])
        for group in self._optimizer.param_groups:  # these are this trial's own; so is the rate, set at each step
            group["weight_decay"] = self._params.weight_decay if group["weight_decay"] else 0.0
        self._scaler.load_state_dict(taken["scaler"])
        self._epoch = taken["epoch"]
        self._best, self._best_epoch, self._best_weights = taken["best"]

    def _exported(self) -> torch.export.ExportedProgram:
        sample = np.zeros((1, *self._net.shape), dtype=np.uint8)
        # a net of its own: that of several workers may have its weights on all of them
        net = build_net(self._context.signature, sample, self._params)
        net.load_state_dict({name: value.cpu() for name, value in self._best_weights.items()})
        lay_out(net, torch.contiguous_format)  # torch.export saves no others without a warning
        return exported(net, self._context.signature.width)


def _sources(context: TrialContext, params: VisionParams, device: torch.device) -> tuple[PictureSource, PictureSource]:
    image = context.signature.image
    assert image is not None
    assert image.shape is not None
    tables = context.train_pictures, context.valid_pictures
    decoded = sum(table.num_rows for table in tables if table is not None) * context.signature.width
    once = params.decoding == "once" or (params.decoding == "auto" and decoded <= _IN_MEMORY)
    train, valid = (
        PictureSource(table, image.shape, once=once, device=device, tasks=context.threads) for table in tables
    )
    return train, valid


def _groups(net: nn.Module, params: VisionParams) -> Iterable[dict[str, object]]:
    """Weights of layers decay; biases and the scales of norms do not."""
    decaying = [values for values in net.parameters() if values.ndim > 1]
    others = [values for values in net.parameters() if values.ndim <= 1]
    return [{"params": decaying, "weight_decay": params.weight_decay}, {"params": others, "weight_decay": 0.0}]


def _loss(raw: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    if raw.ndim == 2:
        return nn.functional.cross_entropy(raw, labels.long(), label_smoothing=smoothing)
    targets = labels.float() * (1 - smoothing) + smoothing / 2
    return nn.functional.binary_cross_entropy_with_logits(raw, targets)
