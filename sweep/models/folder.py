"""Weights as a Hugging Face folder: opened only where they are whole and finite, written only where they are.

Every artifact that holds weights is such a folder, so `AutoModelForCausalLM.from_pretrained(folder)` opens it
without this project. What transformers would fill in, leave out or cast in silence is refused here by name.
"""

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from sweep.models.policy import Policy, embedding

transformers_logging.disable_progress_bar()  # many short stages write to one log

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FLOATING = ("F64", "F32", "BF16", "F16")  # what a safetensors file may hold: an integer is a code of a quantised weight
BUILT_ELSEWHERE = "Build the artifact again, or name a model whose weights are whole"
# what transformers raises for a folder that it cannot make sense of
UNREADABLE = (
    OSError,
    SafetensorError,
    StrictDataclassError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    ImportError,
)


def load_policy(folder_or_name: str, *, revision: str | None, device: str, dtype: str) -> Policy:
    """Opens a folder of this project, or a pinned revision of a model hub.

    Weights are read from safetensors alone, and no code that comes with a model is run.

    Raises:
        ValueError: no such folder, no revision for a hub name, an unknown dtype; weights that are missing, left
            over, of another shape, not floating-point, not finite, damaged, pickled, an adapter's, or ask for
            code; a tokenizer that is missing, slow, without an end of sequence, or larger than the embedding.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r} is not known; choose one of {', '.join(DTYPES)}")
    folder = Path(folder_or_name)
    if folder.is_dir():
        _check_files(folder)
    elif revision is None:
        raise ValueError(
            f"{folder_or_name}: no such folder, and a model of a hub needs a revision to be the same model "
            "tomorrow; give the folder of a finished stage, or name the revision (a commit) in conf/model"
        )
    where = f"{folder_or_name} (revision {revision})"
    try:
        tokenizer, model, loading = _opened(folder_or_name, revision, DTYPES[dtype])
    except UNREADABLE as error:
        told = " ".join(str(error).split())[:300] or type(error).__name__
        raise ValueError(
            f"{where}: expected a causal LM in safetensors with its tokenizer, and could not open it: {told}. "
            "Build the artifact again, or name a revision whose weights are in safetensors"
        ) from error
    _check_complete(model, loading, where)
    _check_tokenizer(model, tokenizer, where)
    if found := not_finite(model):
        raise ValueError(
            f"{where}: expected finite weights in {dtype}, found NaN or infinity in {_some(found)}. {BUILT_ELSEWHERE} "
            "and fit the dtype"
        )
    place = torch.device(device)
    return Policy(model.eval().to(place), tokenizer, place)


def save_policy(policy: Policy, folder: Path | str) -> None:
    """Writes weights, configuration and tokenizer; the caller publishes the folder atomically.

    Raises:
        FloatingPointError: a weight is not finite; nothing is written.
    """
    if found := not_finite(policy.model):
        raise FloatingPointError(
            f"expected finite weights to publish, found NaN or infinity in {_some(found)}; lower the learning rate of "
            "the training that made them"
        )
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)


def not_finite(model: nn.Module) -> list[str]:
    """Names of the parameters and buffers with a NaN or an infinity in them."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return sorted(name for name, tensor in tensors if not bool(torch.isfinite(tensor.detach()).all()))


def _opened(
    folder_or_name: str, revision: str | None, dtype: torch.dtype
) -> tuple[PreTrainedTokenizerBase, PreTrainedModel, dict[str, Any]]:
    """Tokenizer, model, and what transformers says of the loading; a config that asks for code is refused."""
    config, _ = PretrainedConfig.get_config_dict(folder_or_name, revision=revision)
    for key in ("auto_map", "quantization_config"):
        if config.get(key):
            asks = "asks for code of its own" if key == "auto_map" else "describes quantised weights"
            raise ValueError(f"its config.json {asks} ({key}), expected a model type that transformers {PLAIN[key]}")
    tokenizer = AutoTokenizer.from_pretrained(folder_or_name, revision=revision, trust_remote_code=False)
    opened: Any = AutoModelForCausalLM.from_pretrained(  # annotated as a model, and a pair with output_loading_info
        folder_or_name,
        revision=revision,
        trust_remote_code=False,
        dtype=dtype,
        use_safetensors=True,
        output_loading_info=True,
    )
    model, loading = opened
    return tokenizer, model, loading


PLAIN = {"auto_map": "has itself, without auto_map", "quantization_config": "trains, in float32, bfloat16 or float16"}


def _check_files(folder: Path) -> None:
    """Refuses a folder without whole weights in safetensors before transformers opens anything in it."""
    if (folder / "adapter_config.json").exists():
        raise ValueError(
            f"{folder}: expected whole weights and found an adapter (adapter_config.json), which would be left out; "
            "merge it into its model and save that"
        )
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
        found = f"only {', '.join(pickles)}, a pickle, which can run code when it is opened" if pickles else "none"
        raise ValueError(
            f"{folder}: expected weights in safetensors and found {found}; convert them with "
            "`model.save_pretrained(folder)`, or build the artifact again"
        )
    for path in files:
        odd = {name: dtype for name, dtype in _tensor_dtypes(path).items() if dtype not in FLOATING}
        if odd:
            raise ValueError(
                f"{path}: expected floating-point weights ({', '.join(FLOATING)}), found "
                f"{_some(f'{name} in {dtype}' for name, dtype in odd.items())}; quantised weights are not trained "
                "here, take the model's full-precision release"
            )


def _tensor_dtypes(path: Path) -> dict[str, str]:
    """Tensor name to dtype, from the header of a safetensors file; empty where transformers is to say what is wrong."""
    with path.open("rb") as stream:
        size = stream.read(8)
        n_bytes = struct.unpack("<Q", size)[0] if len(size) == 8 else 0
        try:
            header = json.loads(stream.read(min(n_bytes, path.stat().st_size)))
            return {name: str(entry["dtype"]) for name, entry in header.items() if name != "__metadata__"}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {}


def _check_complete(model: PreTrainedModel, loading: dict[str, Any], where: str) -> None:
    """transformers fills missing tensors with random numbers and drops those that it has no place for."""
    found = {
        "missing": loading.get("missing_keys"),
        "left over": loading.get("unexpected_keys"),
        "of another shape": loading.get("mismatched_keys"),
        "not converted": loading.get("error_msgs"),
    }
    told = [f"{_some(map(str, names))} {what}" for what, names in found.items() if names]
    outputs = model.get_output_embeddings()
    if outputs is None:
        told.append("no output layer (LM head) at all")
    elif model.config.get_text_config().tie_word_embeddings and embedding(model) is not outputs.weight:
        told.append("an output layer of its own where config.json ties it to the embedding")
    if told:
        raise ValueError(
            f"{where}: expected exactly the weights that its config.json describes, found {'; '.join(told)}. "
            f"{BUILT_ELSEWHERE}"
        )


def _check_tokenizer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, where: str) -> None:
    if tokenizer.eos_token_id is None or not tokenizer.is_fast:
        raise ValueError(
            f"{where}: expected a fast tokenizer (tokenizer.json) with an end-of-sequence token, "
            f"without which no solution ends; found {type(tokenizer).__name__} and "
            f"{tokenizer.eos_token}; choose another model"
        )
    n_rows = len(embedding(model))
    beyond = sorted(word for word, i in tokenizer.get_vocab().items() if i >= n_rows)
    if beyond:
        raise ValueError(
            f"{where}: expected a tokenizer with at most the {n_rows} tokens of the embedding, found "
            f"{len(beyond)} without a row in it: {_some(beyond)}; take the tokenizer that the model was trained with"
        )


def _some(names: Iterable[str]) -> str:
    """The first few of the names, and how many more there are."""
    names = sorted(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
