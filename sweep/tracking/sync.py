"""Sends to W&B what its server lacks of the runs that a store keeps.

    <store>/<key>/wandb/*run-*/                          of a finished stage
    <store>/.checkpoints/<key>/curves/wandb/*run-*/      of one that failed, or is being built

The server is asked first how far it is with a run, so sending again, or after one that broke off, repeats nothing.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from sweep.artifacts import Store
from sweep.config import TrackingConfig
from sweep.manifest import is_key
from sweep.sharing import opened
from sweep.terminal.words import count
from sweep.tracking.backend import Outcome, broken, check_installed
from sweep.tracking.offline import SENT, Recorded, recorded
from sweep.tracking.own_settings import not_obeyed
from sweep.tracking.server import NO_KEY, asked, has_wandb_key, wait_s
from sweep.wandb_file import NotWhole

RECORDED = ("PROJECT", "RUN_GROUP", "TAGS", "NOTES")  # with a run
N_IN_VAIN = 2  # runs in a row that the server did not take, before the others are left for another time


@dataclass
class Sent:
    """What became of each file."""

    sent: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)  # not whole, and of a stage that has another that is
    not_whole: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def is_all(self) -> bool:
        return not self.not_whole and not self.refused


def sync(store: Store, wanted: Collection[str] | None, tell: Callable[[str], None]) -> Sent:
    """Send the runs of `wanted` (None: of every stage there is), and say of each what became of it.

    Raises:
        ValueError: there is something to send and W&B cannot be asked, or another sync of this store is at work.
    """
    check_installed(TrackingConfig(name="wandb"))
    for line in not_obeyed(os.environ, RECORDED, "a run is sent as it was recorded"):
        tell(f"warning: {line}")
    with _alone(store):
        out, todo = Sent(), []
        for key, paths in _by_stage(store).items():
            if wanted is None or key in wanted:
                todo += _chosen(key, paths, out, tell)
        if todo:
            _check_server(len(todo))
        n_in_vain = 0
        for number, (path, run) in enumerate(todo, start=1):
            why = "not tried" if n_in_vain >= N_IN_VAIN else _send(run)
            n_in_vain = n_in_vain + 1 if why else 0
            told = f"[{number}/{len(todo)}] {run.described.key} ({run.described.name})"
            if why is None:
                out.sent.append(run.described.key)
                tell(f"{told}: sent{_marked(path)}")
            else:
                out.refused.append(run.described.key)
                tell(f"{told}: NOT SENT: {why}")
    return out


def unfinished(store: Store) -> list[str]:
    """Stages that were begun and have a curve, but nothing yet to send."""
    begun = {path.parent.parent.name for path in store.root.glob(".checkpoints/*/curves/metrics.jsonl")}
    return sorted(begun - set(_by_stage(store)))


def _by_stage(store: Store) -> dict[str, list[Path]]:
    """Each stage's files, what its artifact holds before what failed tries left, the latest first."""
    out: dict[str, list[Path]] = {}
    for pattern, at in (("*/wandb/*run-*/*.wandb", 3), (".checkpoints/*/curves/wandb/*run-*/*.wandb", 4)):
        for path in sorted(store.root.glob(pattern), reverse=True):
            key = path.parents[at - 1].name
            if is_key(key) and not path.parent.is_symlink():
                out.setdefault(key, []).append(path)
    return dict(sorted(out.items()))


def _chosen(key: str, paths: list[Path], out: Sent, tell: Callable[[str], None]) -> list[tuple[Path, Recorded]]:
    """The file of a stage that is to be sent: the latest that is whole; the others are named."""
    broken: list[str] = []
    found: list[tuple[Path, Recorded]] = []
    is_there = False
    for path in paths:
        if path.with_name(path.name + SENT).exists():
            is_there = True
            break
        try:
            found = [(path, _of_stage(path, key))]
            break
        except NotWhole as error:
            broken.append(f"{path}: {error}")
    for line in broken:
        (out.replaced if found or is_there else out.not_whole).append(line)
        tell(f"not whole: {line}{'; another run of the stage is' if found or is_there else ''}")
    if is_there:
        out.before.append(str(paths[0]))
    return found


def _of_stage(path: Path, key: str) -> Recorded:
    run = recorded(path)
    if run.described.key != key:
        raise NotWhole(f"its run is {run.described.key}, not the stage whose folder it lies in")
    return run


def _marked(path: Path) -> str:
    """Note beside a file that the server has it; why not, where it cannot be noted: then the server is asked again."""
    try:
        os.close(opened(path.with_name(path.name + SENT), os.O_WRONLY | os.O_CREAT))
    except (OSError, ValueError) as error:
        return f", which cannot be noted beside it ({error})"
    return ""


def _send(run: Recorded) -> str | None:
    """Why the server does not have all of it; None where it has."""
    from sweep.tracking.on_wandb import WandbRun

    to = WandbRun(TrackingConfig(name="wandb", project=run.project, entity=run.entity, mode="online"), {})
    with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        try:
            n_there = to.start(run.described, Path(scratch))
            for n_before, point in run.points:
                if n_before >= n_there:
                    to.log(point)
            return to.finish(Outcome(run.exit_code == 0, run.facts, files=run.files))
        except Exception as error:  # another project's package, whatever it raises: the next run may be taken
            to.abandon()
            return broken("W&B", error)


def _check_server(n: int) -> None:
    why = asked(wait_s()) if has_wandb_key() else NO_KEY
    if why is not None:
        raise ValueError(
            f"{count(n, 'run is', 'runs are')} to be sent, but {why}; check WANDB_BASE_URL and the key "
            "(`wandb login`), then give the same command again"
        )


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    if not store.root.is_dir():
        raise ValueError(f"{store.root}: no such store; give the one the sweep was built in: exec.store=FOLDER")
    path = store.root / ".logs" / "sync.lock"
    path.parent.mkdir(exist_ok=True)
    with os.fdopen(opened(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "a", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"another `python -m sweep sync` of {store.root} is at work; wait for its end") from error
        except OSError:  # some cluster file systems have no such lock
            pass
        yield
