"""The plan: leaves of a multirun become unique stages, their parents, and what is already built.

Pure: it reads no file but what its `store` argument is asked for, and starts nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweep import stages
from sweep.arms import usual_name
from sweep.artifacts import CorruptArtifact, Manifest, Stage, Store
from sweep.differences import is_seed
from sweep.leaves import Leaf
from sweep.terminal.progress import counted


@dataclass(frozen=True)
class Run:
    """One grid point: its leaf, and the evaluation that ends it."""

    leaf: Leaf
    evaluate: Stage


@dataclass(frozen=True)
class Plan:
    """runs in the order of the multirun; stages by key, every parent before its children."""

    runs: tuple[Run, ...]
    stages: Mapping[str, Stage]
    n_unshared: int  # stages that would be built if no run, and no base model's evaluation, shared any
    base_evaluations: tuple[Stage, ...] = ()
    probes: tuple[tuple[Leaf, Stage], ...] = ()  # what else is measured, each once, and the first run that asks for it

    @property
    def ends(self) -> list[Stage]:
        """What the grid is run for; everything else is built because one of these needs it."""
        return [*(run.evaluate for run in self.runs), *self.base_evaluations, *(stage for _, stage in self.probes)]

    def children(self) -> dict[str, list[str]]:
        """key to the keys of the stages that need it."""
        out: dict[str, list[str]] = {key: [] for key in self.stages}
        for stage in self.stages.values():
            for parent in stage.parents.values():
                out[parent.key].append(stage.key)
        return out

    def parents(self) -> dict[str, tuple[str, ...]]:
        """key to the keys of the stages that it needs."""
        return {key: tuple(p.key for p in stage.parents.values()) for key, stage in self.stages.items()}

    def descendants(self, key: str) -> set[str]:
        """Every stage that cannot be built without `key`."""
        children, seen, todo = self.children(), set(), [key]
        while todo:
            for child in children[todo.pop()]:
                if child not in seen:
                    seen.add(child)
                    todo.append(child)
        return seen


def plan(leaves: Sequence[Leaf]) -> Plan:
    """Unique stages of all leaves, in an order that can be built.

    Raises:
        ValueError: there are no leaves, or two of them are the same grid point.
    """
    if not leaves:
        raise ValueError("the multirun has no grid point: check the swept values, e.g. n_problems=256,512")
    unique: dict[str, Stage] = {}
    runs: list[Run] = []
    bases: dict[str, Stage] = {}
    probes: dict[str, tuple[Leaf, Stage]] = {}
    n_unshared = 0
    first: dict[str, Leaf] = {}
    for leaf in leaves:
        end = stages.evaluate(leaf.exp)
        if end.key in first:
            raise ValueError(
                f"two grid points are the same run: {' '.join(first[end.key].overrides) or '(defaults)'} and "
                f"{' '.join(leaf.overrides) or '(defaults)'}; every swept value must change the run"
            )
        first[end.key] = leaf
        base_end = stages.evaluate_base(leaf.exp)
        runs.append(Run(leaf, end))
        asked = stages.probes(leaf.exp)
        for target in [end, *asked] if base_end.key in bases else [end, base_end, *asked]:
            n_unshared += 1 + sum(1 for _ in target.ancestors())
        bases.setdefault(base_end.key, base_end)
        probes |= {stage.key: (leaf, stage) for stage in asked if stage.key not in probes}
        for target in (end, base_end, *asked):
            for stage in [*target.ancestors(), target]:
                unique.setdefault(stage.key, stage)
    return Plan(tuple(runs), unique, n_unshared, tuple(bases.values()), tuple(probes.values()))


@dataclass(frozen=True)
class State:
    """What the store holds of a plan: manifests by key, and what is wrong with the corrupted ones."""

    built: Mapping[str, Manifest]
    corrupted: Mapping[str, str]


def state(plan: Plan, store: Store) -> State:
    """Looks up every stage of the plan; a corrupted artifact is reported, never used."""
    built: dict[str, Manifest] = {}
    corrupted: dict[str, str] = {}
    for key in counted(plan.stages, "reading the store"):
        try:
            manifest = store.manifest(key)
        except CorruptArtifact as error:
            corrupted[key] = str(error)
        else:
            if manifest is not None:
                built[key] = manifest
    return State(built, corrupted)


def needed(plan: Plan, built: Iterable[str]) -> list[str]:
    """Keys still to build: what an unfinished run needs, not every stage that is missing.

    A parent whose children are all built is not built again, as after `gc`.
    """
    done = set(built)
    todo: set[str] = set()
    stack = plan.ends
    while stack:
        stage = stack.pop()
        if stage.key not in done and stage.key not in todo:
            todo.add(stage.key)
            stack.extend(stage.parents.values())
    return [key for key in plan.stages if key in todo]


def alike(stage: Stage) -> Hashable:
    """What stages of about equal length have in common, n_problems and seeds aside: kind, data set, model, its dials.

    A stage that is of no number of problems is as long as something else makes it: D_syn and a base that is pretrained
    here as their whole data set, an evaluation as the problems of its split and the samples of each.
    """
    upstream = [stage, *stage.ancestors()]
    data: Mapping[str, Any] = next((one.identity["dataset"] for one in upstream if "dataset" in one.identity), {})
    model = next((one.identity.get("model") for one in upstream if one.kind == "base"), None)
    size: list[Any] = []
    if stage.kind in ("base", "dsyn"):
        size = [_without_seeds(data)]
    elif stage.kind == "evaluate":
        asked = stage.identity.get("evaluation", {})
        size = [asked.get("n_samples"), data.get(f"n_{asked.get('split')}")]
    told = [stage.kind, data.get("title", data.get("name")), None if model is None else _without_seeds(model), size]
    return json.dumps(told, sort_keys=True)


def _without_seeds(dials: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in dials.items() if not is_seed(name)}


def estimate(plan: Plan, todo: Iterable[str], known: Sequence[Manifest]) -> dict[str, float | None]:
    """Seconds each stage to build will take, from those of stages like it; None where none like it was built.

    Stages that carry n_problems are scaled by it; an artifact with the same method is preferred.
    """
    rates: dict[Hashable, list[float]] = {}
    for manifest, stage in zip(known, _as_stages(known, plan), strict=True):
        for signature in _signatures(stage):
            rates.setdefault(signature, []).append(manifest.cost.seconds / stage.identity.get("n_problems", 1))
    out: dict[str, float | None] = {}
    for key in todo:
        stage = plan.stages[key]
        found = [rates[s] for s in _signatures(stage) if s in rates]
        scale = stage.identity.get("n_problems", 1)
        out[key] = sum(found[0]) / len(found[0]) * scale if found else None
    return out


def _as_stages(known: Sequence[Manifest], plan: Plan) -> list[Stage]:
    """The stages that these were built as; a parent that is neither among them nor in the plan is left out."""
    by_key, made = {manifest.key: manifest for manifest in known}, dict(plan.stages)

    def made_of(manifest: Manifest) -> Stage:
        if manifest.key not in made:
            there = {role: key for role, key in manifest.parents.items() if key in made or key in by_key}
            parents = {role: made[key] if key in made else made_of(by_key[key]) for role, key in there.items()}
            made[manifest.key] = Stage(manifest.kind, manifest.version, manifest.identity, parents)
        return made[manifest.key]

    return [made_of(manifest) for manifest in known]


def summary(plan: Plan, built: Mapping[str, Manifest]) -> dict[str, Any]:
    """The counts that `plan --json` prints."""
    return {
        "runs": len(plan.runs),
        "stages": len(plan.stages),
        "stages_unshared": plan.n_unshared,
        "cached": len(built),
        "by_kind": dict(Counter(stage.kind for stage in plan.stages.values())),
    }


STEP_PAIRS, STEP_PAIRS_ABOUT = "step pairs", "pairs that part at one step, by the rollouts"


def flow(plan: Plan) -> list[dict[str, Any]]:
    """Who hands what to whom: the plan's stages by kind, those of `train` by arm, in the paper's order. Pairs that need
    advantages are a kind of their own: standard DPO's do without.

    Returns:
        Of each: name, kind, about (what it is, in the words of stages.py), n_stages, and needs: the (role, name) pairs
        of what its stages are built from.
    """
    nodes: dict[str, dict[str, Any]] = {}
    for stage in plan.stages.values():
        name = _flow_name(stage)
        about = STEP_PAIRS_ABOUT if name == STEP_PAIRS else stages.ABOUT[stage.kind]
        new = {"name": name, "kind": stage.kind, "about": about, "n_stages": 0, "needs": []}
        node = nodes.setdefault(name, new)
        node["n_stages"] += 1
        needs = [[role, _flow_name(parent)] for role, parent in stage.parents.items()]
        node["needs"] += [need for need in needs if need not in node["needs"] and need[1] != name]
    order = list(stages.VERSION)
    return sorted(nodes.values(), key=lambda node: order.index(node["kind"]))


def _flow_name(stage: Stage) -> str:
    if stage.kind == "pairs" and "advantages" in stage.parents:
        return STEP_PAIRS
    if stage.kind != "train":
        return stage.kind
    return usual_name(stage.identity["source"]["name"], stage.identity["method"]["name"])


def _signatures(stage: Stage) -> list[Hashable]:
    """The nearest first: of one method, and of any."""
    like, method = alike(stage), (stage.identity.get("method") or {}).get("name")
    return [(like, method), (like,)] if method else [(like,)]
