"""A model split over processes (FSDP2), for the one training that they share.

Every process is given the same policy, rows and seed. The policy's own model stays whole; a copy is split, trained,
and gathered into it in the end. Each process keeps checkpoints of its own part in a folder of its own. Accelerate knows
the processes: how many there are, which this one is, and what they tell each other.
"""

import copy
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import torch
import torch.distributed as dist
from accelerate import PartialState
from accelerate.utils import gather, reduce
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from sweep.models.precision import COMPUTED


def join(index: int, n: int, device: str, meeting: str) -> None:
    """Makes this process the one of that index among n, which find each other by the file `meeting`."""
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")  # what Accelerate goes by
    os.environ.update(zip(names, map(str, (index, index, n, n)), strict=True))
    how: dict[str, Any] = {"init_method": f"file://{meeting}", "rank": index, "world_size": n}
    PartialState(cpu=not device.startswith("cuda"), **how)


def leave() -> None:
    PartialState().destroy_process_group()


def is_joined() -> bool:
    """Whether this process has joined others, or itself alone; whatever its environment says."""
    return dist.is_initialized()


def n_processes() -> int:
    """Processes that share this training."""
    return int(PartialState().num_processes) if is_joined() else 1


def process_index() -> int:
    return int(PartialState().process_index) if is_joined() else 0


def summed(totals: Tensor) -> Tensor:
    """The sum over processes, on all of them."""
    total: Tensor = reduce(totals, reduction="sum") if n_processes() > 1 else totals
    return total


class Shards:
    """This process's part of the trained parameters, in fp32 and `by_name`, and the split model that computes with all
    of them; the interface of `Masters`."""

    def __init__(self, model: PreTrainedModel, precision: str, device: torch.device) -> None:
        self.model = copy.deepcopy(model)
        self.whole = model
        nn.Module.to(self.model, torch.float32)
        nn.Module.to(self.whole, "cpu")  # a card holds its part alone
        self._device = device
        self.by_name: dict[str, nn.Parameter] = {}
        self._rules: dict[str, Any] = {
            "mesh": init_device_mesh(device.type, (n_processes(),)),
            "mp_policy": MixedPrecisionPolicy(param_dtype=COMPUTED[precision], reduce_dtype=torch.float32),
        }

    def split(self, root: nn.Module) -> nn.Module:
        """Splits `root`, which holds the model: a layer at a time, and what lies outside of layers together."""
        layers = [m for m in self.model.modules() if type(m).__name__ in (self.model._no_split_modules or ())]
        for module in (*layers, root):
            fully_shard(module, **self._rules)
        self.by_name = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        return root

    def publish(self) -> None:
        """The model computes with the parameters themselves."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        """Gathers the trained numbers in the whole model, unless one process failed where others may not have."""
        if failed is not None:
            return
        wholes = dict(self.whole.named_parameters())
        with torch.no_grad():
            for name, parameter in self.by_name.items():
                assert isinstance(parameter, DTensor)
                wholes[name].copy_(parameter.full_tensor())
        nn.Module.to(self.whole, self._device)


def local(value: Any) -> Any:
    """The same nest of dicts and lists with this process's part in place of each split tensor."""
    if isinstance(value, Mapping):
        return {name: local(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [local(inner) for inner in value]
    return value.to_local() if isinstance(value, DTensor) else value


def split_like(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """An optimizer's state, of which `local` took this process's part, split as its parameters are."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    split = {
        i: {name: _split(v, parameters[i]) for name, v in moments.items()} for i, moments in state["state"].items()
    }
    return {**state, "state": split}


def _split(value: Any, like: nn.Parameter) -> Any:
    """A moment of a split parameter; the count of updates is a number of its own."""
    if not isinstance(like, DTensor) or value.ndim == 0:
        return value
    return DTensor.from_local(
        value.to(like.device),
        like.device_mesh,
        like.placements,
        shape=like.shape,
        stride=like.stride(),
        run_check=False,
    )


def whole(norm: Tensor) -> Tensor:
    """A norm of all processes' parts."""
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


@torch.no_grad()
def largest(parameters: Iterable[Tensor]) -> float:
    """The largest absolute value of all processes' parts; NaN where there is one."""
    of_each = torch._foreach_norm([p.to_local() if isinstance(p, DTensor) else p for p in parameters], math.inf)
    found = torch.stack(list(of_each)).max()
    return float(gather(found).max() if n_processes() > 1 else found)


def own_folder(checkpoint_dir: Path) -> Path:
    """Where this process keeps its checkpoints."""
    n = n_processes()
    return checkpoint_dir if n == 1 else checkpoint_dir / f"part-{process_index()}-of-{n}"


def all_folders(checkpoint_dir: Path) -> list[Path]:
    n = n_processes()
    return [checkpoint_dir] if n == 1 else [checkpoint_dir / f"part-{i}-of-{n}" for i in range(n)]


def wait_for_all() -> None:
    if n_processes() > 1:
        PartialState().wait_for_everyone()
