"""What a stage of any kind holds on a card at its peak: from shapes before it was ever built, from measurement after.

Sampling is counted as a cache of keys and values for every row that is decoded at once, whole rows long, a copy of one
layer of it while it grows, and the numbers of one step over the vocabulary. Every stage that was built on a card has in
its provenance what it was thought to hold and what it held; `Estimates` corrects the next ones of its kind by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from sweep.artifacts import Manifest, Stage
from sweep.bench import domain_of, model_of, open_domain
from sweep.config import Exec
from sweep.data import ProceduralDomain
from sweep.memory import FP32, GIB, N_SPECIAL, OF, Need, Shape, kept_by_layer, shape_of, training_of

PROCESS = GIB  # of a worker on a card before any tensor: CUDA's context and the libraries' code
UNMEASURED, MEASURED = 1.25, 1.1  # what is kept free beside an estimate: for the allocator, and what was not counted
CHARACTERS_A_TOKEN = 3  # of a prompt in words, at the least
STEP = 4  # copies of a step's logits: as they come, in fp32, sorted, summed up
SHARED_BY_PROCESSES = ("sft", "train")  # kinds that exec.n_processes share
HELD = "memory"  # the provenance that says what a stage held
ELSEWHERE = (  # settings of exec that no memory depends on
    "store", "sweep_name", "n_workers", "n_threads", "device", "cards", "workers_per_card", "gpu_memory_gib",
    "checkpoint_every_s", "rebuild_corrupted", "limits_minutes",
)  # fmt: skip


def n_cards(stage: Stage, exec: Exec) -> int:
    """How many cards a stage takes at once; 0 where it computes nothing on one."""
    if stage.kind == "dsyn" or (stage.kind == "base" and stage.identity["model"]["kind"] == "pretrained"):
        return 0
    return exec.n_processes if stage.kind in SHARED_BY_PROCESSES else 1


def shape_for(stage: Stage, root: Path) -> Shape | None:
    """Of the model that a stage opens; None where nothing on this machine tells it yet.

    Args:
        root: of the store, where a base that came from a hub tells its shape once it is built.
    """
    base = next((s for s in [*stage.ancestors(), stage] if s.kind == "base"), None)
    if base is None:
        return None
    model = base.identity["model"]
    if model["kind"] != "from_scratch":
        here = base.places.get("path", model.get("path", ""))
        own = shape_of({**model, "path": str(here)}, None) if here else None
        return own or shape_of({**model, "path": str(root / base.key)}, None)
    domain = domain_of(base)
    assert isinstance(domain, ProceduralDomain), "planning refuses to pretrain on another"
    return shape_of(model, len(domain.vocabulary) + N_SPECIAL)


def counted(stage: Stage, exec: Exec, shape: Shape) -> Need:
    """The bytes of one process that builds the stage, its context aside."""
    model = model_of(stage)
    if stage.kind == "base":
        return training_of({**model, "lora": None, "moments": "fp32"}, exec, shape, 1)
    if stage.kind in SHARED_BY_PROCESSES:
        return training_of(model, exec, shape, exec.n_processes)
    if stage.kind in ("pairs", "likelihoods"):
        return scoring(shape, model, exec)
    n_prompt, n_prefixes, n_samples = _sampled(stage, exec.max_rows)
    return sampling(
        shape,
        dtype=model["dtype"],
        n_rows=min(exec.max_rows, n_prefixes * n_samples),
        n_prefixes=min(exec.max_rows, n_prefixes),
        n_prompt=n_prompt,
        n_new=stage.identity["max_solution_tokens"],
    )


def scoring(shape: Shape, model: Mapping[str, Any], exec: Exec) -> Need:
    """Of a pass that keeps nothing for a gradient: weights, one layer, a chunk of logits."""
    copies = shape.n_parameters * OF[model["precision"]] if OF[model["precision"]] != OF[model["dtype"]] else 0
    n_logits = min(exec.max_logits, exec.micro_batch_tokens * shape.n_vocabulary)
    return Need(
        weights=shape.n_parameters * OF[model["dtype"]] + copies,
        masters=0,
        gradients=0,
        optimizer=0,
        activations=2 * exec.micro_batch_tokens * kept_by_layer(shape, model["precision"]),
        logits=2 * FP32 * n_logits,
    )


def sampling(shape: Shape, *, dtype: str, n_rows: int, n_prefixes: int, n_prompt: int, n_new: int) -> Need:
    """Of solutions drawn from a policy.

    Args:
        n_rows: decoded at once, of n_prefixes different prefixes.
        n_prompt, n_new: tokens of the longest prefix and of what is drawn behind it.
    """
    of_token = 2 * shape.n_kv_heads * shape.head_size * OF[dtype]  # of one layer: a key and a value
    of_rows, of_prefixes = n_rows * (n_prompt + n_new) * of_token, n_prefixes * n_prompt * of_token
    read = n_prefixes * n_prompt * (4 * shape.hidden_size + 3 * shape.mlp_size) * OF[dtype]
    return Need(
        weights=shape.n_parameters * OF[dtype],
        masters=0,
        gradients=0,
        optimizer=0,
        activations=shape.n_layers * (of_rows + of_prefixes) + max(of_rows, read),
        logits=STEP * FP32 * n_rows * shape.n_vocabulary,
    )


def _sampled(stage: Stage, max_rows: int) -> tuple[int, int, int]:
    """Tokens of the longest prompt; how many prefixes a stage samples from, and how often."""
    dataset, identity = _dataset(stage), stage.identity
    n_prompt = _longest_prompt(dataset)
    if stage.kind == "samples":
        return n_prompt, identity["n_problems"], identity["sampling"]["n_samples"]
    if stage.kind == "advantages":  # a prefix may be all of a solution but its last token
        rollouts = identity["rollouts"]
        n_traces = identity["n_problems"] * rollouts["max_traces_per_problem"]
        return n_prompt + identity["max_solution_tokens"], n_traces, rollouts["n_rollouts"]
    if stage.kind in ("values", "estimates"):  # every step of every solution: how many, only building tells
        return n_prompt + identity["max_solution_tokens"], max_rows, identity["rollouts"]["n_rollouts"]
    evaluation = identity["evaluation"]
    n_problems = open_domain(dataset).n_problems(evaluation["split"])
    return n_prompt, n_problems, max(1, evaluation["n_samples"])


def _dataset(stage: Stage) -> str:
    dials = {name: value for name, value in stage.identity["dataset"].items() if name != "revision"}
    return json.dumps({**dials, **stage.places}, sort_keys=True)


@cache
def _longest_prompt(dataset: str) -> int:
    """Tokens of the longest test prompt: a word a token in a procedural domain, else by its characters."""
    domain = open_domain(dataset)
    prompts = [domain.prompt(problem) for problem in domain.problems("test")]
    if isinstance(domain, ProceduralDomain):
        return 1 + max((len(text.split()) for text in prompts), default=0)
    return 1 + max((len(text) // CHARACTERS_A_TOKEN for text in prompts), default=0)


def like(stage: Stage, exec: Exec) -> dict[str, Any]:
    """What stages have in common that hold alike: kind, base model, and the settings that memory depends on."""
    base = next((s.key for s in [*stage.ancestors(), stage] if s.kind == "base"), "")
    settings = {name: value for name, value in asdict(exec).items() if name not in ELSEWHERE}
    return {"kind": stage.kind, "base": base, "settings": settings}


class Estimates:
    """What stages of a sweep will hold, and what is known of it so far."""

    def __init__(self, exec: Exec, root: Path, known: Iterable[Manifest] = ()) -> None:
        self._exec, self._root = exec, root
        self._measured: dict[str, list[tuple[int, int, int | None]]] = {}  # n_problems, held, counted
        for manifest in known:
            self.learn(manifest)

    def learn(self, manifest: Manifest) -> None:
        """Take in what a built stage held, where it was built on a card."""
        told = manifest.provenance.get(HELD)
        if isinstance(told, dict) and told.get("reserved_bytes"):
            row = (manifest.identity.get("n_problems", 0), told["reserved_bytes"], told.get("counted_bytes"))
            self._measured.setdefault(_name(told["like"]), []).append(row)

    def counted(self, stage: Stage) -> Need | None:
        """By shapes alone; None where the model's shape is not known."""
        shape = shape_for(stage, self._root)
        return counted(stage, self._exec, shape) if shape is not None else None

    def n_bytes(self, stage: Stage) -> tuple[int | None, str]:
        """The likeliest peak of one process without its context, None where nothing tells; and how it is known.

        A measurement on fewer problems can raise an estimate and not lower it: it may not have filled a batch.
        """
        need, n_problems = self.counted(stage), stage.identity.get("n_problems", 0)
        total = need.total if need is not None else None
        rows = self._measured.get(_name(like(stage, self._exec)), [])
        enough = [row for row in rows if row[0] >= n_problems]
        if total is None:
            return (max(row[1] for row in enough), "measured") if enough else (None, "unknown")
        ratios = [held / thought for n, held, thought in rows if thought and (n >= n_problems or held > thought)]
        return (round(total * max(ratios)), "measured") if ratios else (total, "counted")

    def with_room(self, stage: Stage) -> int | None:
        """The same with its process and a margin: what a scheduler sets aside."""
        n_bytes, how = self.n_bytes(stage)
        margin = MEASURED if how == "measured" else UNMEASURED
        return None if n_bytes is None else round(n_bytes * margin) + PROCESS


def _name(alike: Mapping[str, Any]) -> str:
    return json.dumps(alike, sort_keys=True)
