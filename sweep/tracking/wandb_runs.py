"""Finished runs in Weights & Biases: what an evaluation leaves there, and a store made of it again.

Two files beside the curves of an evaluation's W&B run are all that the table needs:
    manifests.json      its own manifest and that of every stage upstream
    outcomes.parquet    the outcome of every problem
W&B's own config and summary are for its charts. They do not tell 1.0 from 1, and a stage is named by the hash of the
exact text, so what is read back is verified: a manifest by its key, the outcomes by their sha256.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sweep.artifacts import MANIFEST, Cost, Manifest, Stage, Store
from sweep.disk import file_sha256
from sweep.manifest import is_key
from sweep.tracking.own_settings import quiet

MANIFESTS, OUTCOMES = "manifests.json", "outcomes.parquet"
TIMEOUT_S = 20  # for one answer of W&B's
N_A_LINE = 100  # runs between two lines of progress


def files_of(
    stage: Stage, folder: Path, facts: dict[str, Any], cost: Cost, provenance: dict[str, Any], store: Store
) -> dict[str, bytes]:
    """What W&B is to keep of an evaluation that is about to be published."""
    outcomes = folder / OUTCOMES
    own = Manifest(
        stage.key,
        stage.kind,
        stage.version,
        dict(stage.identity),
        {role: parent.key for role, parent in stage.parents.items()},
        {OUTCOMES: {"n_bytes": outcomes.stat().st_size, "sha256": file_sha256(outcomes)}},
        facts,
        cost,
        provenance,
    )
    upstream = [store.manifest(ancestor.key) for ancestor in stage.ancestors()]
    lineage = [replace(manifest, files={}).sealed() for manifest in upstream if manifest is not None]
    told = [asdict(manifest) for manifest in (*lineage, own.sealed())]
    return {MANIFESTS: json.dumps(told, allow_nan=False).encode(), OUTCOMES: outcomes.read_bytes()}


def fetch(
    project: str, store: Store, wanted: Collection[str] | None = None, tell: Callable[[str], None] = lambda _: None
) -> list[Stage]:
    """Put a project's evaluations, and the manifests upstream of them, into an empty store.

    Args:
        project: ENTITY/PROJECT.
        wanted: keys of the evaluations; None takes all there are.
        tell: is given a line of progress now and then.
    Returns:
        Their stages, in the order of `wanted`.
    Raises:
        ValueError: W&B does not answer, has no such project, lacks a run, or has one that is not finished or whole.
    """
    found = {run.id: run for run in _runs(project, wanted, tell) if is_key(run.id) and run.id.startswith("evaluate-")}
    keys = sorted(found) if wanted is None else list(wanted)
    missing = [key for key in keys if key not in found]
    if missing or not keys:
        raise ValueError(
            f"{project} has {len(found)} evaluations in W&B and lacks {_some(missing) or 'any to make a table of'}; "
            "send offline runs with `python -m sweep sync`, give the grid that was run, or collect from the store"
        )
    unfinished = [f"{key} ({found[key].state})" for key in keys if found[key].state != "finished"]
    if unfinished:
        raise ValueError(
            f"{project}: {len(unfinished)} of {len(keys)} evaluations are not finished: {_some(unfinished)}; wait for "
            "them, or give a grid without them (-m experiment=NAME ...)"
        )
    stages = []
    for number, key in enumerate(keys, start=1):
        stages.append(_restored(found[key], store))
        if number % N_A_LINE == 0:
            tell(f"{number} of {len(keys)} evaluations fetched")
    return stages


def _runs(project: str, wanted: Collection[str] | None, tell: Callable[[str], None]) -> list[Any]:
    """The project's evaluations, through W&B's public API: its server leaves out what is none."""
    if len(project.split("/")) != 2 or not all(project.split("/")):
        raise ValueError(f"--from wandb {project}: expected ENTITY/PROJECT, as in the address of the project's page")
    quiet()
    import wandb

    filters: dict[str, Any] = {"jobType": "evaluate"}
    if wanted is not None:
        filters = {"$and": [filters, {"name": {"$in": sorted(wanted)}}]}
    out: list[Any] = []
    try:
        for run in wandb.Api(timeout=TIMEOUT_S).runs(project, filters=filters, per_page=N_A_LINE):
            out.append(run)
            if len(out) % N_A_LINE == 0:
                tell(f"{len(out)} evaluations listed")
        return out
    except wandb.errors.UsageError as error:
        raise ValueError(f"W&B asks for a login: {error} Or set WANDB_API_KEY; nothing was collected") from error
    except (wandb.errors.Error, ValueError) as error:  # ValueError: no such project, for the public API
        raise ValueError(
            f"{project} cannot be read from W&B: {' '.join(str(error).split())}; check the spelling, and that your "
            "login may see it; nothing was collected"
        ) from error


def _restored(run: Any, store: Store) -> Stage:
    import wandb

    part = store.builds.start(run.id)
    try:
        for name in (MANIFESTS, OUTCOMES):
            run.file(name).download(root=str(part), replace=True).close()
        manifests = [
            Manifest.of_json(json.dumps(raw)) for raw in json.loads((part / MANIFESTS).read_text(encoding="utf-8"))
        ]
    except (wandb.errors.Error, OSError, LookupError, ValueError, TypeError) as error:
        raise ValueError(
            f"W&B run {run.id} has no whole {MANIFESTS} and {OUTCOMES} "
            f"({' '.join(f'{type(error).__name__}: {error}'.split())}); give the command again, send the run again "
            "with `python -m sweep sync`, or collect from the store"
        ) from error
    stages = _stages(run.id, manifests)
    _check_whole(part / OUTCOMES, manifests[-1])
    for manifest in manifests:
        folder = store.folder(manifest.key)
        folder.mkdir(exist_ok=True)
        (folder / MANIFEST).write_text(json.dumps(asdict(manifest)), encoding="utf-8")
    (part / OUTCOMES).rename(store.folder(run.id) / OUTCOMES)
    return stages[run.id]


def _check_whole(path: Path, own: Manifest) -> None:
    expected, n_bytes = own.files[OUTCOMES], path.stat().st_size
    if n_bytes < expected["n_bytes"]:
        raise ValueError(
            f"W&B run {own.key}: {n_bytes} of {expected['n_bytes']} bytes of its {OUTCOMES} came; give the command "
            "again"
        )
    if file_sha256(path) != expected["sha256"]:
        raise ValueError(
            f"W&B run {own.key}: its {OUTCOMES} is not what the evaluation wrote (another sha256); collect from the "
            "store"
        )


def _stages(run_id: str, manifests: Iterable[Manifest]) -> dict[str, Stage]:
    """Stages by key, from manifests of which each comes after its parents."""
    out: dict[str, Stage] = {}
    for manifest in manifests:
        parents = {role: out.get(key) for role, key in manifest.parents.items()}
        known = {role: stage for role, stage in parents.items() if stage is not None}
        stage = Stage(manifest.kind, manifest.version, manifest.identity, known)
        if len(known) < len(parents) or stage.key != manifest.key:
            raise ValueError(
                f"W&B run {run_id}: its {MANIFESTS} mentions {manifest.key}, but what it says about it is {stage.key}: "
                "it was changed, or a parent was missing when it was written; collect from the store"
            )
        out[stage.key] = stage
    if run_id not in out:
        raise ValueError(f"W&B run {run_id}: its {MANIFESTS} does not mention it; collect from the store")
    return out


def _some(names: list[str], n_shown: int = 5) -> str:
    return ", ".join(names[:n_shown]) + (f" and {len(names) - n_shown} more" if len(names) > n_shown else "")
