"""Finished runs in Weights & Biases: what an evaluation leaves there, and a store made of it again.

Two files beside the curves of an evaluation's W&B run are all that the table needs:
    manifests.json      its own manifest and that of every stage upstream
    outcomes.parquet    the outcome of every problem
W&B's own config and summary are for its charts. They do not tell 1.0 from 1, and a stage is named by the hash of the
exact text, so what is read back is verified: a manifest by its key, the outcomes by their sha256.
"""
from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sweep.artifacts import MANIFEST, Cost, Manifest, Stage, Store, file_sha256

MANIFESTS, OUTCOMES = "manifests.json", "outcomes.parquet"


def files_of(
    stage: Stage, folder: Path, facts: dict[str, Any], cost: Cost, provenance: dict[str, Any], store: Store
) -> dict[str, bytes]:
    """What W&B is to keep of an evaluation that is about to be published."""
    outcomes = folder / OUTCOMES
    own = Manifest(
        stage.key, stage.kind, stage.version, dict(stage.identity),
        {role: parent.key for role, parent in stage.parents.items()},
        {OUTCOMES: {"n_bytes": outcomes.stat().st_size, "sha256": file_sha256(outcomes)}}, facts, cost, provenance,
    )
    upstream = [store.manifest(ancestor.key) for ancestor in stage.ancestors()]
    lineage = [replace(manifest, files={}).sealed() for manifest in upstream if manifest is not None]
    told = [asdict(manifest) for manifest in (*lineage, own.sealed())]
    return {MANIFESTS: json.dumps(told, allow_nan=False).encode(), OUTCOMES: outcomes.read_bytes()}


def fetch(project: str, store: Store, wanted: Collection[str] | None = None) -> list[Stage]:
    """Put a project's evaluations, and the manifests upstream of them, into an empty store.

    Args:
        project: ENTITY/PROJECT.
        wanted: keys of the evaluations; None takes all there are.
    Returns:
        Their stages, in the order of `wanted`.
    Raises:
        ValueError: W&B does not answer, has no such project, lacks a run, or has one that is not finished or whole.
    """
    found = {run.id: run for run in _runs(project) if run.id.startswith("evaluate-")}
    keys = sorted(found) if wanted is None else list(wanted)
    missing = [key for key in keys if key not in found]
    if missing or not keys:
        raise ValueError(
            f"{project} has {len(found)} evaluations in W&B and lacks {_some(missing) or 'any to make a table of'}; "
            "upload offline runs with `wandb sync`, give the grid that was run, or collect from the store"
        )
    unfinished = [f"{key} ({found[key].state})" for key in keys if found[key].state != "finished"]
    if unfinished:
        raise ValueError(
            f"{project}: {len(unfinished)} of {len(keys)} evaluations are not finished: {_some(unfinished)}; wait for "
            "them, or give a grid without them (-m experiment=NAME ...)"
        )
    return [_restored(found[key], store) for key in keys]


def _runs(project: str) -> list[Any]:
    """Every run of the project, through W&B's public API."""
    if len(project.split("/")) != 2 or not all(project.split("/")):
        raise ValueError(f"--from wandb {project}: expected ENTITY/PROJECT, as in the address of the project's page")
    import wandb

    try:
        return list(wandb.Api().runs(project))
    except wandb.errors.UsageError as error:
        raise ValueError(f"W&B asks for a login: {error} Or set WANDB_API_KEY; nothing was collected") from error
    except (wandb.errors.Error, ValueError) as error:  # ValueError: no such project, for the public API
        raise ValueError(
            f"{project} cannot be read from W&B: {error}; check the spelling, and that your login may see it"
        ) from error


def _restored(run: Any, store: Store) -> Stage:
    import wandb

    part = store.start(run.id)
    try:
        for name in (MANIFESTS, OUTCOMES):
            run.file(name).download(root=str(part), replace=True).close()
        manifests = [Manifest.of_json(json.dumps(raw)) for raw in json.loads((part / MANIFESTS).read_text())]
    except (wandb.errors.Error, OSError, LookupError, ValueError, TypeError) as error:
        raise ValueError(
            f"W&B run {run.id} has no whole {MANIFESTS} and {OUTCOMES} ({type(error).__name__}: {error}); upload it "
            "again with `wandb sync`, or collect from the store"
        ) from error
    stages = _stages(run.id, manifests)
    for manifest in manifests:
        folder = store.folder(manifest.key)
        folder.mkdir(exist_ok=True)
        (folder / MANIFEST).write_text(json.dumps(asdict(manifest)))
    (part / OUTCOMES).rename(store.folder(run.id) / OUTCOMES)
    return stages[run.id]


def _stages(run_id: str, manifests: Iterable[Manifest]) -> dict[str, Stage]:
    """Stages by key, from manifests of which each comes after its parents."""
    out: dict[str, Stage] = {}
    for manifest in manifests:
        parents = {role: out.get(key) for role, key in manifest.parents.items()}
        known = {role: stage for role, stage in parents.items() if stage is not None}
        stage = Stage(manifest.kind, manifest.version, manifest.identity, known)
        if len(known) < len(parents) or stage.key != manifest.key:
            raise ValueError(
                f"W&B run {run_id}: its {MANIFESTS} tells of {manifest.key}, but what it says of it is {stage.key}: it "
                "was changed, or a parent was missing when it was written; collect from the store"
            )
        out[stage.key] = stage
    if run_id not in out:
        raise ValueError(f"W&B run {run_id}: its {MANIFESTS} does not tell of it; collect from the store")
    return out


def _some(names: list[str], n_shown: int = 5) -> str:
    return ", ".join(names[:n_shown]) + (f" and {len(names) - n_shown} more" if len(names) > n_shown else "")
