"""What one training holds in memory at its peak, before it is started: from shapes alone, without torch.

Weights, gradients and the optimizer's numbers are counted exactly. Activations are those that autograd keeps of a
Llama-like layer (Llama, Qwen, Mistral, SmolLM): in elements a token, 3 of the hidden size for each of two norms,
queries, keys, values and their result, and 4 of the MLP's width. Not counted: the allocator's own loss, a tenth on a
card, and the libraries' code, about a gigabyte.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.bench import open_domain
from sweep.config import Exec
from sweep.data import ProceduralDomain
from sweep.leaves import Leaf

GIB = 2**30
FP32 = 4
OF = {"fp32": 4, "bf16": 2, "float32": 4, "bfloat16": 2, "float16": 2}  # bytes
N_SPECIAL = 4  # tokens beside the words of a vocabulary
BLOCK, LEAST_CODED = 256, 4096  # numbers that share a scale where moments are in 8 bits; smaller tensors are in fp32
LOGITS_HELD = 3  # a chunk's logits, their exponentials and gradient


@dataclass(frozen=True)
class Shape:
    """Of a decoder with gated MLPs."""

    hidden_size: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_size: int
    mlp_size: int
    n_vocabulary: int
    is_tied: bool

    @property
    def of_layer(self) -> list[int]:
        """Numbers in each tensor of a layer."""
        attention = [self.hidden_size * self.head_size * n for n in (self.n_heads, self.n_kv_heads) * 2]
        return [*attention, *[self.hidden_size * self.mlp_size] * 3, *[self.hidden_size] * 2]

    @property
    def outside(self) -> list[int]:
        """The same outside of layers."""
        return [*[self.n_vocabulary * self.hidden_size] * (1 if self.is_tied else 2), self.hidden_size]

    @property
    def n_parameters(self) -> int:
        return sum(self.outside) + self.n_layers * sum(self.of_layer)

    def n_adapted(self, rank: int) -> int:
        """Parameters of adapters on every linear layer but the last."""
        widths = self.head_size * (self.n_heads + self.n_kv_heads)  # of queries and result, of keys and values
        return self.n_layers * rank * (4 * self.hidden_size + 2 * widths + 3 * (self.hidden_size + self.mlp_size))


@dataclass(frozen=True)
class Need:
    """Bytes of one process."""

    weights: int
    masters: int
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    @property
    def parts(self) -> dict[str, int]:
        return dict(vars(self))


def training(
    shape: Shape,
    *,
    dtype: str,
    precision: str,
    n_tokens: int,
    max_logits: int,
    gradient_checkpointing: bool,
    rank: int | None = None,
    moments: str = "fp32",
    n_processes: int = 1,
) -> Need:
    """The peak of one process.

    Args:
        n_tokens: of one forward pass (exec.micro_batch_tokens).
        rank: of adapters; None where every weight is trained.
        moments: how the optimizer keeps its numbers; in 8 bits the weights are read a layer at a time, too.
        n_processes: that share weights, gradients and the optimizer's numbers.
    """
    of_one, n_all = OF[precision], shape.n_parameters
    n_moved = n_all if rank is None else shape.n_adapted(rank)
    n_frozen = 0 if rank is None else n_all
    kept = n_frozen * OF[dtype] if OF[dtype] != of_one else 0  # frozen weights come back as they were
    is_split = n_processes > 1 or moments == "8bit"
    copies = n_moved * of_one if not is_split and precision == "bf16" else 0  # computed with, beside their masters
    gathered = (sum(shape.outside) + 2 * sum(shape.of_layer)) * of_one if is_split else 0  # whole, a layer ahead
    spread = max(sum(shape.outside), sum(shape.of_layer)) if is_split and rank is None else 0  # whole, before its share
    of_layer = n_tokens * kept_by_layer(shape, precision)
    layers = of_layer + shape.n_layers * n_tokens * shape.hidden_size * of_one
    return Need(
        weights=_share(n_frozen * of_one + kept, n_processes) + copies + gathered,
        masters=_share(n_moved * FP32, n_processes),
        gradients=_share(n_moved * FP32, n_processes) + spread * (of_one + FP32),
        optimizer=2 * _moment(shape, n_moved, moments, n_processes),
        activations=layers if gradient_checkpointing else shape.n_layers * of_layer,
        logits=LOGITS_HELD * FP32 * min(max_logits, n_tokens * shape.n_vocabulary),
    )


def training_of(model: Mapping[str, Any], exec: Exec, shape: Shape, n_processes: int) -> Need:
    """The same, by a model's config node and the resources of its run."""
    return training(
        shape,
        dtype=model["dtype"],
        precision=model["precision"],
        n_tokens=exec.micro_batch_tokens,
        max_logits=exec.max_logits,
        gradient_checkpointing=exec.gradient_checkpointing,
        rank=model["lora"]["rank"] if model.get("lora") else None,
        moments=model.get("moments", "fp32"),
        n_processes=n_processes,
    )


def kept_by_layer(shape: Shape, precision: str) -> int:
    """Bytes that autograd keeps of a layer for one token."""
    of_one = OF[precision]
    norms = 2 * shape.hidden_size * (3 * of_one if precision == "fp32" else FP32 + 2 * of_one)
    attention = 2 * shape.head_size * (shape.n_heads + shape.n_kv_heads) * of_one
    return norms + attention + 4 * shape.mlp_size * of_one


def _moment(shape: Shape, n_moved: int, moments: str, n_processes: int) -> int:
    """Bytes of one of the two numbers of every parameter: as torchao keeps them where they are in 8 bits."""
    if moments == "fp32":
        return _share(n_moved * FP32, n_processes)
    own = [_share(n, n_processes) for n in (*shape.outside, *shape.of_layer * shape.n_layers)]
    table = 256 * FP32  # of what the 256 codes stand for, a tensor
    return sum(n + n // BLOCK * FP32 + table if n >= LEAST_CODED and n % BLOCK == 0 else n * FP32 for n in own)


def _share(n_bytes: int, n_processes: int) -> int:
    return -(-n_bytes // n_processes)


def shape_of(model: Mapping[str, Any], n_vocabulary: int | None) -> Shape | None:
    """Of a model's config node; None where its config.json is not on this machine or says another kind of model.

    Args:
        n_vocabulary: of a model that is made here.
    """
    if model["kind"] == "from_scratch":
        heads = {"n_heads": model["n_heads"], "n_kv_heads": model["n_heads"]}
        sizes = {"hidden_size": model["hidden_size"], "n_layers": model["n_layers"], "mlp_size": model["mlp_size"]}
        head_size = model["hidden_size"] // model["n_heads"]
        return Shape(**sizes, **heads, head_size=head_size, n_vocabulary=n_vocabulary or 0, is_tied=True)
    path = Path(str(model["path"])).expanduser() / "config.json"
    told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    try:
        n_heads = told["num_attention_heads"]
        return Shape(
            hidden_size=told["hidden_size"],
            n_layers=told["num_hidden_layers"],
            n_heads=n_heads,
            n_kv_heads=told.get("num_key_value_heads") or n_heads,
            head_size=told.get("head_dim") or told["hidden_size"] // n_heads,
            mlp_size=told["intermediate_size"],
            n_vocabulary=told["vocab_size"],
            is_tied=bool(told.get("tie_word_embeddings", False)),
        )
    except KeyError:
        return None


def in_words(need: Need) -> str:
    """In one line."""
    parts = ", ".join(f"{name} {_gib(n_bytes)}" for name, n_bytes in need.parts.items() if n_bytes)
    return f"{_gib(need.total)} a process ({parts})"


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / GIB:.1f} GiB" if n_bytes >= GIB / 10 else f"{n_bytes / 2**20:.1f} MiB"


def of_training(leaf: Leaf) -> Need | None:
    """Of a run's trainings; None where the model's shape is not known on this machine."""
    model, exec = leaf.exp.model, leaf.exec
    n_vocabulary = None
    if model["kind"] == "from_scratch":
        domain = open_domain(json.dumps(leaf.exp.dataset, sort_keys=True))
        n_vocabulary = len(domain.vocabulary) + N_SPECIAL if isinstance(domain, ProceduralDomain) else None
    shape = shape_of(model, n_vocabulary)
    return None if shape is None else training_of(model, exec, shape, exec.n_processes)


def check(leaves: Iterable[Leaf]) -> list[str]:
    """What the trainings of these runs hold, in words, each once.

    Raises:
        ValueError: more than exec.gpu_memory_gib.
    """
    told = []
    for leaf in {json.dumps([one.exp.model, one.exec.micro_batch_tokens]): one for one in leaves}.values():
        need, has = of_training(leaf), leaf.exec.gpu_memory_gib
        if need is None:
            told.append("unknown: the model's config.json is not on this machine, or not of a model with gated MLPs")
            continue
        if has is not None and need.total > has * GIB:
            raise ValueError(
                f"a training needs {in_words(need)} and exec.gpu_memory_gib={has:g}; lower exec.micro_batch_tokens or "
                "exec.max_logits, set exec.gradient_checkpointing=true, share it among cards with exec.n_processes, "
                "keep the optimizer's numbers in 8 bits (+model.moments=8bit), or train adapters (+model.lora="
                "{rank: 16, alpha: 32})"
            )
        told.append(in_words(need))
    return list(dict.fromkeys(told))
