"""How the layers of a model are computed: activations kept or computed again, as written or compiled."""

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel

from sweep.fields import COMPILERS


@contextmanager
def layers_computed(model: PreTrainedModel, gradient_checkpointing: bool, compiler: str) -> Iterator[None]:
    """Within it the layers are computed so; afterwards as before.

    Each layer is compiled by itself, so one compilation serves all of them and all lengths.

    Raises:
        ValueError: an unknown compiler.
    """
    if compiler not in COMPILERS:
        raise ValueError(f"compiler={compiler!r} is not known; choose one of {', '.join(COMPILERS)}")
    names = model._no_split_modules or ()
    layers = [module for module in model.modules() if type(module).__name__.removeprefix("FSDP") in names]
    if gradient_checkpointing:
        model.activation_checkpointing_enable()
    if compiler != "off":
        for layer in layers:
            layer.compile(backend=compiler, dynamic=True)
    try:
        yield
    finally:
        if gradient_checkpointing:
            model.activation_checkpointing_disable()
        for layer in layers:
            layer._compiled_call_impl = None
