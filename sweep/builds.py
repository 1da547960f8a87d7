"""Builds under way in a store: whose folder is whose, who waits for whom, and what is left of killed ones.

.building/<key>.<token>/      under construction; <key>.<token>.lock beside it is held by the builder
.building/<key>.lease         held by whoever builds the stage: others wait
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sweep import leases, sharing
from sweep.leases import Holder, Lease
from sweep.manifest import checked_key, is_key

PATIENCE_S = 5.0  # for the last locks of processes that were killed


class Builds:
    """Those of one store, and the locks that this process holds of them.

    Args:
        root: of the store.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._leases: dict[Path, Lease] = {}

    @contextmanager
    def lease(self, key: str) -> Iterator[None]:
        """Waits while another process builds `key`. A hint that saves work, not a truth: publication is safe without
        it, and the kernel drops it with the process that held it."""
        name = f"{checked_key(key)}.lease"
        with leases.held(sharing.real_folder(self.root, ".building") / name):
            yield

    def running(self) -> dict[str, Holder]:
        """Who builds what at this moment, by key, as the locks say."""
        found = {}
        for path in sorted((self.root / ".building").glob("*.lease")):
            who = leases.holder(path) if is_key(path.stem) else None
            if who is not None:
                found[path.stem] = who
        return found

    def start(self, key: str) -> Path:
        """A fresh folder to build `key` in; its lock is held until it is published or abandoned."""
        name = f"{checked_key(key)}.{uuid.uuid4().hex[:8]}"
        folder = sharing.real_folder(self.root, ".building") / name
        lease = leases.take(folder.with_name(f"{folder.name}.lock"))
        assert lease is not None  # nobody else knows the name
        folder.mkdir()
        self._leases[folder] = lease
        return folder

    def abandon(self, folder: Path) -> None:
        """Remove a build folder that will not be published, and give its lock back; nothing where it is gone."""
        shutil.rmtree(folder, ignore_errors=True)
        self.let_go(folder)

    def let_go(self, folder: Path) -> None:
        lease = self._leases.pop(folder, None)
        if lease is not None:
            lease.give_back()
            lease.path.unlink(missing_ok=True)  # where there are no locks; the name was never anybody else's

    def sweep_dead(self, killed: Collection[int] = ()) -> list[Path]:
        """Remove build folders whose lock nobody holds: their processes are gone, on whichever machine.

        A folder without a lock's file, or of a name that is none of ours, is left: `gc` names it.

        Args:
            killed: process ids on this machine that have just ended. What they held is waited for, at most PATIENCE_S:
                a child that one of them was starting has its locks until it runs its own program.
        """
        removed, end = self._sweep(), time.monotonic() + PATIENCE_S
        while killed and self._held_by(killed) and time.monotonic() < end:
            time.sleep(0.02)
            removed += self._sweep()
        return removed

    def _sweep(self) -> list[Path]:
        removed = []
        for path in self._locks():
            folder = path.with_suffix("")
            with suppress(OSError, ValueError):  # another user's, or a link: not ours to remove
                lease = leases.take(path, is_waiting=False)
                if lease is None:
                    continue
                if lease.is_locked and path.suffix == ".lock" and folder.is_dir() and not folder.is_symlink():
                    shutil.rmtree(folder, ignore_errors=True)
                    removed.append(folder)
                lease.give_back()
        return removed

    def _held_by(self, processes: Collection[int]) -> bool:
        holders = [leases.holder(path) for path in self._locks()]
        return any(who is not None and who.pid in processes and who.is_here() for who in holders)

    def _locks(self) -> list[Path]:
        """Files of locks and leases, held or not, of the store's own names."""
        paths = sorted((self.root / ".building").glob("*.l*"))
        return [p for p in paths if p.suffix in (".lock", ".lease") and is_key(p.stem.split(".")[0])]
