"""Artifacts that no grid reaches any more: named, and removed where that is asked for.

Only what is an artifact (sweep/manifest.py) is ever removed. Kept is what any grid reaches that was run in this store,
an experiment of conf/ or a --keep describes; what is being built, queued or read; and what is of no recorded grid.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from sweep import leases, sharing
from sweep.artifacts import LOOKS, Store
from sweep.commands.words import Line, plan_of
from sweep.config import Exec
from sweep.grids import FOLDER, grids, is_running
from sweep.launchers.slurm import queue
from sweep.launchers.slurm.submission import Submission, places, submissions
from sweep.manifest import MANIFEST, UNLISTED, Manifest, NoArtifact, manifest_of
from sweep.plan import Plan
from sweep.terminal.progress import counted
from sweep.terminal.words import count, nearest

OURS = (".building", ".checkpoints", ".corrupted", ".grids", ".logs", ".slurm", ".trash")
UNRECORDED = "unrecorded"  # the name under which --without lets go what no recorded grid tells of
Composed = Callable[[list[str]], tuple[Plan, Exec]]


@dataclass(frozen=True)
class Root:
    """Something that reaches artifacts: the names it goes by, and its stages' keys with their parents'."""

    names: frozenset[str]
    told: str
    parents: Mapping[str, tuple[str, ...]]
    is_running: bool = False


@dataclass(frozen=True)
class Found:
    """What is in the store: artifacts that may go, the others by the reason why they stay, and bytes by key."""

    removable: list[str]
    left: dict[str, str]
    sizes: dict[str, int]


def gc_command(line: Line, composed: Composed) -> int:
    """`python -m sweep gc [--delete] [--keep 'OVERRIDES']... [--without NAME]... [Hydra overrides]`.

    The overrides name the store, as for every verb, and a grid that is kept. NAME is an experiment, a grid that was
    run here (its name or its hash), a SLURM submission, or `unrecorded`: what no record mentions. Without --delete
    nothing is removed.

    Raises:
        ValueError: NAME is nothing of the kind, or what a root reaches is not known; nothing was removed.
    """
    options, overrides = line.options, list(line.overrides)
    plan, exec = composed(overrides)
    store = Store(exec.store)
    conf = [Path(folder) for folder in (line.files.path, line.files.further) if folder]
    names = sorted({path.stem for folder in conf for path in (folder / "experiment").glob("*.yaml")})
    own = _root_of(plan, "", "the command line's grid")
    recorded, unread = _recorded_roots(store)
    _check_names(options.without, {UNRECORDED, *names, *unread, *(name for root in recorded for name in root.names)})
    found = sorted_out(store, [own], recorded, options.without)
    if not found.sizes:  # what the experiments reach could only keep more
        unknown = {name: why for name, why in unread.items() if name not in options.without}
        _tell(store, recorded, options.without, found, unknown, "")
        return 0
    roots, problems = _composed_roots(names, options.keep, overrides, composed)
    roots.append(own)
    # exclusive: a sweep that starts meanwhile waits, and then sees what is left
    with _alone(store) if options.delete and store.built() else nullcontext():
        recorded, unread = _recorded_roots(store)
        problems = {name: why for name, why in {**problems, **unread}.items() if name not in options.without}
        found = sorted_out(store, roots, recorded, options.without)
        is_refused = options.delete and bool(problems)
        _tell(store, recorded, options.without, found, problems, "removed" if options.delete and not problems else "")
        if is_refused:
            raise ValueError(_refusal(problems, names, overrides))
        for key in counted(found.removable if options.delete else (), "removing"):
            _remove(store, key)
    if found.removable and not options.delete:
        print("this was a dry run; --delete removes what is listed as unreached")
    return 0


def _alone(store: Store) -> AbstractContextManager[object]:
    return leases.held(sharing.real_folder(store.root, FOLDER) / "lock")


def _composed_roots(
    names: Sequence[str], keep: Sequence[str], overrides: list[str], composed: Composed
) -> tuple[list[Root], dict[str, str]]:
    """What conf/experiment/*.yaml and each --keep reach; one that cannot be composed reaches nobody knows what."""
    given = {word for text in keep for word in text.split()}
    rest = [word for word in overrides if not word.startswith("experiment=")]
    wanted = {name: [f"experiment={name}", *rest] for name in names if f"experiment={name}" not in given}
    roots, problems = [], {}
    reached = {**wanted, **{text: text.split() for text in keep}}
    said = f"composing {count(len(reached), 'experiment')}, for what they reach is kept; this can take minutes"
    print(said, file=sys.stderr, flush=True)
    for name, words in counted(reached.items(), "composing experiments"):
        try:
            roots.append(_root_of(composed(words)[0], name, name))
        except (ValueError, HydraException, OmegaConfBaseException) as error:
            problems[name] = " ".join(str(error).split())
    return roots, problems


def _root_of(plan: Plan, name: str, told: str) -> Root:
    return Root(frozenset({name}), told, plan.parents())


def _recorded_roots(store: Store) -> tuple[list[Root], dict[str, str]]:
    """Every grid that was run here, in a process of this machine or through SLURM; and records that cannot be read."""
    found, problems = grids(store)
    roots = [
        Root(
            frozenset({grid.hash, grid.name}), f"{grid.hash} {grid.created[:10]} {grid.name}", grid.parents,
            is_running(store, grid),
        ) for grid in found
    ]  # fmt: skip
    for submission in submissions(store):
        try:
            parents = {key: tuple(p.key for p in s.parents.values()) for key, s in submission.stages.items()}
            names = frozenset({submission.folder.name, str(submission.settings["exec"]["sweep_name"])})
            roots.append(Root(names, f"SLURM {submission.folder.name}", parents))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            problems[submission.folder.name] = f"{type(error).__name__}: {error}"
    return roots, problems


def _check_names(without: Sequence[str], known: set[str]) -> None:
    unknown = sorted(set(without) - known)
    if unknown:
        raise ValueError(
            f"--without {', '.join(unknown)}: no such experiment, grid or submission{nearest(unknown[0], known)}; "
            f"there are {', '.join(sorted(known))}; nothing was removed"
        )


def sorted_out(store: Store, roots: Sequence[Root], recorded: Sequence[Root], without: Sequence[str]) -> Found:
    """What may be removed, and why everything else that no grid reaches stays."""
    is_released = [bool(root.names & set(without)) and not root.is_running for root in (*roots, *recorded)]
    kept, released = set(_in_use(store, recorded)), set[str]()
    for root, is_out in zip((*roots, *recorded), is_released, strict=True):
        (released if is_out else kept).update(root.parents)
    artifacts, left = survey(store)
    unreached = [key for key in artifacts if key not in kept]
    for key in counted(unreached, "looking through artifacts"):
        if key not in released and UNRECORDED not in without:
            left[key] = f"no recorded grid mentions it (--without {UNRECORDED} lets such artifacts go)"
        elif surplus := _surplus(store.folder(key), artifacts[key]):
            left[key] = f"holds what its manifest does not list: {surplus}"
    parents = {key: tuple(manifest.parents.values()) for key, manifest in artifacts.items()}
    needed = _upstream([key for key in unreached if key in left], parents)
    for key in set(unreached) & needed - left.keys():
        left[key] = "one that stays was built from it"
    sizes = {key: sum(f["n_bytes"] for f in artifacts[key].files.values()) for key in unreached}
    return Found([key for key in unreached if key not in left], left, sizes)


def _in_use(store: Store, recorded: Sequence[Root]) -> set[str]:
    """Keys that are built at this moment or wait in the queue, with all that they are built from."""
    parents = {key: of for root in recorded for key, of in root.parents.items()}
    return _upstream([*store.builds.running(), *_in_queue(store)], parents)


def _upstream(keys: Sequence[str], parents: Mapping[str, tuple[str, ...]]) -> set[str]:
    """The keys and everything upstream of them."""
    seen, todo = set(keys), list(keys)
    while todo:
        new = set(parents.get(todo.pop(), ())) - seen
        seen |= new
        todo += new
    return seen


def _in_queue(store: Store) -> set[str]:
    still_open: list[Submission] = submissions(store, is_open=True)
    owners = {array.job_id: s.folder.name for s in still_open for array in s.arrays() if array.job_id}
    return set(places(still_open, queue.jobs(owners))) if owners else set()


def survey(store: Store) -> tuple[dict[str, Manifest], dict[str, str]]:
    """The artifacts of a store by key, and everything else that lies there with why it is none."""
    artifacts, others = {}, {}
    there = sorted(store.root.iterdir()) if store.root.is_dir() else []
    for path in counted(there, "reading the store"):
        is_ours = path.is_dir() if path.name in OURS else path.name == LOOKS and path.is_file()
        if is_ours and not path.is_symlink():
            continue
        try:
            if path.is_symlink():
                raise NoArtifact("it is a symbolic link")
            artifacts[path.name] = manifest_of(path)
        except (NoArtifact, OSError) as error:
            others[path.name] = str(error)
    for path in sorted((store.root / ".building").glob("*")):
        if path.is_dir() and not path.with_name(f"{path.name}.lock").exists():
            others[f".building/{path.name}"] = "a build folder without a lock: nobody knows whether it is in use"
    return artifacts, others


def _surplus(folder: Path, manifest: Manifest) -> str:
    """A few names of files that somebody added to an artifact."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
    own = {MANIFEST, *manifest.files}
    return ", ".join(sorted(name for name in names if name not in own and name.split("/")[0] not in UNLISTED)[:3])


def _tell(
    store: Store, recorded: Sequence[Root], without: Sequence[str], found: Found, problems: Mapping[str, str], word: str
) -> None:
    if recorded:
        print(f"grids that were run in {store.root}:")
    for root in recorded:
        is_out = bool(root.names & set(without))
        state = "runs at this moment, kept" if root.is_running else "not kept" if is_out else "kept"
        print(f"  {root.told}: {count(len(root.parents), 'stage')}, {state}")
    for name, why in found.left.items():
        print(f"left       {name}: {why}")
    for key in found.removable:
        print(f"{word or 'unreached':<9}  {found.sizes[key] / 1e6:9.1f} MB  {key}")
    if problems:
        print(_not_known(problems))
    n_bytes = sum(found.sizes[key] for key in found.removable)
    print(f"{len(found.removable)} of {len(store.built())} artifacts, {n_bytes / 1e9:.2f} GB, are reached by no grid")


def _not_known(problems: Mapping[str, str]) -> str:
    """On one line, each reason once and without its advice, for which --delete has one of its own."""
    names: dict[str, list[str]] = {}
    for name, why in problems.items():
        names.setdefault(why.partition("; ")[0], []).append(name)
    told = "; ".join(f"{', '.join(several)}: {why}" for why, several in names.items())
    return f"not known what {count(len(problems), 'grid reaches', 'grids reach')}: {told}"


def _refusal(problems: Mapping[str, str], names: Sequence[str], overrides: Sequence[str]) -> str:
    """What is missing, and a command that looks again and removes nothing."""
    keep = [f"--keep 'experiment={name} SETTING=VALUE'" for name in problems if name in names]
    again = " ".join(["python -m sweep gc", *map(shlex.quote, overrides), *keep])
    return (
        f"nothing was deleted: {', '.join(problems)} cannot be composed or read here, so what it reaches is not known. "
        f"Say what it lacks, and look at the list again:\n  {again}\n"
        "An experiment that was never run in this store can be left out by its name with --without, as can a record "
        "that is to be passed over"
    )


def _remove(store: Store, key: str) -> None:
    """Out of sight by one rename, so that a reader sees all of it or none."""
    trash = sharing.real_folder(store.root, ".trash") / f"{key}.{uuid.uuid4().hex[:8]}"
    store.folder(key).rename(trash)
    shutil.rmtree(trash)


def remove_unreached(line: Line) -> int:
    return gc_command(line, lambda overrides: plan_of(overrides, line.files))
