"""Artifacts that no experiment reaches any more: told, and removed where that is asked for."""
from __future__ import annotations

import argparse
import shlex
import shutil
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from hydra.errors import HydraException

from sweep.artifacts import Store
from sweep.commands.words import CONF, plan_of
from sweep.config import Exec
from sweep.launchers.slurm import queue
from sweep.launchers.slurm.submission import places, submissions
from sweep.plan import Plan


def unreached(store: Store, plans: Iterable[Plan]) -> list[str]:
    """Keys of the store's artifacts that are in none of the plans and that no job in the queue builds or reads."""
    kept = {key for plan in plans for key in plan.stages}
    still_open = submissions(store, is_open=True)
    if still_open:
        owners = {array.job_id: s.folder.name for s in still_open for array in s.arrays() if array.job_id}
        in_queue = places(still_open, queue.jobs(owners))
        for submission in still_open:
            for key in in_queue.keys() & submission.stages.keys():
                stage = submission.stages[key]
                kept |= {key, *(parent.key for parent in stage.ancestors())}
    return [key for key in store.built() if key not in kept]


def gc_command(words: Sequence[str], composed: Callable[[list[str]], Plan], conf: Path) -> int:
    """`python -m sweep gc [--delete] [--keep 'OVERRIDES']... [--without EXPERIMENT]... [exec.store=FOLDER]`.

    Kept is what conf/experiment/*.yaml and each --keep grid reach. An experiment that cannot be composed here
    reaches unknown artifacts, so nothing is deleted until a --keep says what it lacks, or --without that it may lose
    them.
    """
    parser = argparse.ArgumentParser(prog="python -m sweep gc", allow_abbrev=False)
    parser.add_argument("--delete", action="store_true")
    parser.add_argument("--keep", action="append", default=[])
    parser.add_argument("--without", action="append", default=[])
    options, rest = parser.parse_known_args(list(words))
    stores = [word.removeprefix("exec.store=") for word in rest if word.startswith("exec.store=")]
    if len(stores) != len(rest):
        raise ValueError(f"{parser.format_usage().strip()} [exec.store=FOLDER], found: {' '.join(rest)}")
    store = Store(stores[-1] if stores else Exec.store)
    names = sorted(path.stem for path in (conf / "experiment").glob("*.yaml"))
    unknown = sorted(set(options.without) - set(names))
    if unknown:
        raise ValueError(f"--without {', '.join(unknown)}: no such experiment; there are {', '.join(names)}")
    given = {word for text in options.keep for word in text.split()}
    own = [name for name in names if name not in options.without and f"experiment={name}" not in given]
    grids = {name: [f"experiment={name}"] for name in own}
    plans, problems = [], {}
    for name, overrides in {**grids, **{text: text.split() for text in options.keep}}.items():
        try:
            plans.append(composed(overrides))
        except (ValueError, HydraException) as error:
            problems[name] = " ".join(str(error).split())
    lost = unreached(store, plans)
    sizes = {key: sum(p.stat().st_size for p in store.folder(key).rglob("*") if p.is_file()) for key in lost}
    for key in lost:
        print(f"{'removed' if options.delete and not problems else 'unreached'}  {sizes[key] / 1e6:9.1f} MB  {key}")
    for name, reason in problems.items():
        print(f"not known what {name} reaches: {reason}")
    print(f"{len(lost)} of {len(store.built())} artifacts, {sum(sizes.values()) / 1e9:.2f} GB, are reached by no grid")
    if options.delete and problems:
        again, names = shlex.join(["python", "-m", "sweep", "gc", *words]), [name for name in problems if name in grids]
        raise ValueError(
            f"nothing was deleted: {', '.join(problems)} cannot be composed here, so what it reaches is not known. If "
            f"none of its artifacts is in {store.root}, or they may go:\n"
            f"  {' '.join([again, *(f'--without {name}' for name in names)])}\n"
            "To keep them, say what it lacks:\n"
            f"  {' '.join([again, *(f'''--keep 'experiment={name} SETTING=VALUE' ''' for name in names)]).strip()}"
        )
    if options.delete:
        for key in lost:
            _remove(store, key)
    elif lost:
        print("this was a dry run; --delete removes them")
    return 0


def remove_unreached(words: list[str]) -> int:
    return gc_command(words, lambda overrides: plan_of(overrides)[0], Path(CONF))


def _remove(store: Store, key: str) -> None:
    """Out of sight by one rename, so that a reader sees all of it or none."""
    trash = store.root / ".trash" / f"{key}.{uuid.uuid4().hex[:8]}"
    trash.parent.mkdir(exist_ok=True)
    store.folder(key).rename(trash)
    shutil.rmtree(trash)
