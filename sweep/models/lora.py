"""Low-rank adapters (arXiv:2106.09685) by peft: small matrices beside frozen weights, merged into them in the end.

The artifact is then an ordinary model: it is sampled, evaluated and trained on as any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel


@contextmanager
def adapted(model: PreTrainedModel, lora: Mapping[str, Any] | None, seed: int) -> Iterator[None]:
    """Within it the model's own weights are frozen and adapters on all its linear layers but the last are trained.

    They begin by changing nothing, and are merged where the block ends without an error.

    Args:
        lora: rank, alpha (the product of the matrices is scaled by alpha / rank) and dropout; None trains every weight.
    Raises:
        ValueError: peft is not installed.
    """
    if lora is None:
        yield
        return
    peft = _peft()
    were_trained = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = peft.LoraConfig(r=lora["rank"], lora_alpha=lora["alpha"], target_modules="all-linear")
        wrapped = peft.get_peft_model(model, config)
    try:
        yield
    except BaseException:
        wrapped.unload()
        raise
    else:
        wrapped.merge_and_unload(safe_merge=True)  # refuses what is not finite
    finally:
        for parameter, was_trained in were_trained:
            parameter.requires_grad_(was_trained)


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise ValueError(
            "model.lora needs the package peft, which is not installed: pip install 'rl-on-incorrect[lora]', or leave "
            "model.lora out to train every weight"
        ) from error
    return peft
