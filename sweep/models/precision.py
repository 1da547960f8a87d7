"""In which precision a model computes, and the fp32 numbers that its optimizer moves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

COMPUTED = {"fp32": torch.float32, "bf16": torch.bfloat16}


@contextmanager
def in_precision(model: PreTrainedModel, precision: str) -> Iterator[None]:
    """Within it the model's parameters are in this precision; afterwards they are what they were."""
    before = [(parameter, parameter.data) for parameter in model.parameters()]
    for parameter, data in before:
        parameter.data = data.to(COMPUTED[precision])
    try:
        yield
    finally:
        for parameter, data in before:
            parameter.data = data


class Masters:
    """The trained parameters in fp32, `by_name`; within its block the model computes with them, or with copies in bf16.

    In bf16 the gradient of each micro-batch is added to its master's in fp32 and given up. Frozen parameters are
    computed with in the same precision, and come back as they were.
    """

    def __init__(self, model: PreTrainedModel, precision: str) -> None:
        self.model = model
        self.by_name: dict[str, nn.Parameter] = {}
        self._before = [(parameter, parameter.data) for parameter in model.parameters()]
        self._copies: list[tuple[nn.Parameter, nn.Parameter]] = []  # computed with, and its master
        self._hooks = []
        for name, parameter in model.named_parameters():
            master = parameter
            if parameter.requires_grad and precision != "fp32":
                master = nn.Parameter(parameter.detach().to(torch.float32, copy=True))
                self._copies.append((parameter, master))
                add = _adding_to(master)
                self._hooks.append(parameter.register_post_accumulate_grad_hook(add))  # type: ignore[no-untyped-call]
            if parameter.requires_grad:
                self.by_name[name] = master
            parameter.data = parameter.data.to(COMPUTED[precision])

    def publish(self) -> None:
        """Gives the model what the optimizer has moved."""
        if self._copies:
            computed, masters = zip(*self._copies, strict=True)
            with torch.no_grad():
                torch._foreach_copy_(computed, masters)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the model with the trained numbers, in the dtypes that it came with."""
        master_of = {id(computed): master for computed, master in self._copies}
        for parameter, before in self._before:
            trained = master_of.get(id(parameter), parameter).data.to(before.dtype)
            parameter.data = trained if parameter.requires_grad else before
            parameter.grad = None
        for hook in self._hooks:
            hook.remove()


def _adding_to(master: nn.Parameter) -> Callable[[Tensor], None]:
    def add(parameter: Tensor) -> None:
        assert parameter.grad is not None
        gradient = parameter.grad.to(torch.float32)
        master.grad = gradient if master.grad is None else master.grad.add_(gradient)
        parameter.grad = None

    return add
