"""Workers that train one net together: what each keeps of it, and what they tell each other."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from mlops_ray.errors import TrainError
from mlops_ray.train.vision_net import lay_out

__all__ = ["Team"]

_WHOLE = StateDictOptions(full_state_dict=True)


class Team:
    """This process and the others of its trial, if there are any.

    `ddp`: each has the whole net, and gradients are averaged. `fsdp`: each keeps a part of weights, gradients and
    optimizer, and gets the others' while it needs them.
    """

    def __init__(self, *, workers: int, strategy: str, device: torch.device) -> None:
        """Ray Train has set up the process group of several workers."""
        self._workers = workers
        self._device = device
        self.sharded = workers > 1 and strategy == "fsdp"
        self._strategy = strategy

    def joined(self, net: nn.Module) -> nn.Module:
        """What to call in place of `net`; all have the first one's weights afterwards.

        Raises:
            TrainError: this build of torch cannot share a net out on such a device.
        """
        if self._workers == 1:
            return net
        if not self.sharded:
            return DistributedDataParallel(net)
        lay_out(net, torch.contiguous_format)  # parts of others cannot be gathered
        for values in (*net.parameters(), *net.buffers()):
            dist.broadcast(values.detach(), src=0)
        try:
            mesh = init_device_mesh(self._device.type, (self._workers,))
            for layer in _large_parts(net):
                fully_shard(layer, mesh=mesh)
            fully_shard(net, mesh=mesh)
        except (RuntimeError, NotImplementedError, ValueError) as error:
            raise TrainError(
                f"train.space.strategy: fsdp is not possible on {self._device.type} here ({error}); use ddp"
            ) from error
        return net

    def fewest(self, rows: int) -> int:
        """The smallest number of any worker: all of them have to take each step together."""
        if self._workers == 1:
            return rows
        least = torch.tensor([rows], device=self._device)
        dist.all_reduce(least, op=dist.ReduceOp.MIN)
        return int(least.item())

    def agreed(self, value: float) -> float:
        """The first worker's number: those that differ in a last digit would stop at different epochs, and hang."""
        if self._workers == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self._device)
        dist.broadcast(shared, src=0)
        return float(shared.item())

    def weights(self, net: nn.Module) -> dict[str, Tensor]:
        """A copy of all weights of the net, which every worker has to ask for together."""
        found: Mapping[str, Any] = get_model_state_dict(net, options=_WHOLE) if self.sharded else net.state_dict()
        return {name: value.detach().clone() for name, value in found.items()}

    def take_weights(self, net: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """Inverse of `weights`."""
        if self.sharded:
            set_model_state_dict(net, dict(weights), options=_WHOLE)
        else:
            net.load_state_dict(weights)

    def optimizer_state(self, net: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """What the optimizer knows, of all weights."""
        return get_optimizer_state_dict(net, optimizer, options=_WHOLE) if self.sharded else optimizer.state_dict()

    def take_optimizer_state(self, net: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
        """Inverse of `optimizer_state`."""
        if self.sharded:
            set_optimizer_state_dict(net, optimizer, dict(state), options=_WHOLE)
        else:
            optimizer.load_state_dict(dict(state))


def _large_parts(net: nn.Module) -> list[nn.Module]:
    """Sequences of layers, innermost first, which are gathered one after the other instead of all at once."""
    sequences = [part for part in net.modules() if isinstance(part, nn.Sequential)]
    return [part for part in reversed(sequences) if next(part.parameters(), None) is not None]
