"""Leases: a file that a living process holds with flock(2). Who is alive is what the kernel says, never a name.

Host names and process ids lie: two containers share a host name, a process id is given again, another machine's
processes cannot be seen. A lock is dropped by the kernel with the process that held it. A lease's file is removed when
it is given back; one that is there and that nobody holds is a killed process's.

On NFS, Linux turns flock into byte-range locks that the server keeps, so all nodes see them (not with the mount option
`nolock` or `local_lock`). Where a file system has no locks at all, work is done without: publication is safe without
a lease, a stage may be built twice, and nothing that looks dead is removed.
"""

from __future__ import annotations

import errno
import fcntl
import getpass
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from sweep import sharing

NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, for a person: what is removed is decided by the lock, never by it."""

    user: str
    host: str
    pid: int
    since: str  # ISO time, UTC

    def __str__(self) -> str:
        return f"{self.user} on {self.host}, process {self.pid}, since {self.since}"

    def is_here(self) -> bool:
        return self.host == socket.gethostname()


UNKNOWN = Holder("somebody", "an unknown machine", 0, "an unknown time")


@dataclass(frozen=True)
class Lease:
    """A file that this process holds; is_locked is False on a file system without locks."""

    path: Path
    descriptor: int
    is_locked: bool

    def give_back(self) -> None:
        """Remove the file and drop the lock, in this order: whoever waits sees that the name is free again.

        The last of those that share a lease removes its file.
        """
        with suppress(OSError):  # others share it, or the store is gone and with it what was to be given back
            if self.is_locked and _is_at(self.descriptor, self.path):
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.path.unlink()
        os.close(self.descriptor)


def take(path: Path, *, is_waiting: bool = True, is_shared: bool = False) -> Lease | None:
    """The lease at `path`, or None where somebody else holds it and we do not wait.

    Raises:
        ValueError: a symbolic link or something else than a plain file lies there.
    """
    operation = (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | (0 if is_waiting else fcntl.LOCK_NB)
    while True:
        descriptor = sharing.opened(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, operation)
        except OSError as error:
            if error.errno in NO_LOCKS:
                return Lease(path, descriptor, is_locked=False)
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return None
            raise
        except BaseException:
            os.close(descriptor)
            raise
        if _is_at(descriptor, path):
            if not is_shared:
                _sign(descriptor)
            return Lease(path, descriptor, is_locked=True)
        os.close(descriptor)  # its holder gave it back while we waited: the name belongs to nobody or to a new file


@contextmanager
def held(path: Path, *, is_shared: bool = False) -> Iterator[Lease]:
    """Waits for a lease and gives it back at the end."""
    lease = take(path, is_shared=is_shared)
    assert lease is not None  # we waited
    try:
        yield lease
    finally:
        lease.give_back()


def holder(path: Path) -> Holder | None:
    """Who holds the lease at `path`; None where nobody does, or where locks cannot be asked for."""
    try:
        descriptor = sharing.opened(path, os.O_RDONLY)
    except (OSError, ValueError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with suppress(ValueError, TypeError):
            return Holder(**json.loads(os.pread(descriptor, 4096, 0)))
        return UNKNOWN
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def has_locks(folder: Path) -> bool:
    """Whether a file of this folder can be locked."""
    lease = take(folder / f".lock-{os.getpid()}-{os.urandom(4).hex()}")
    assert lease is not None
    lease.give_back()
    if not lease.is_locked:
        lease.path.unlink(missing_ok=True)
    return lease.is_locked


def _sign(descriptor: int) -> None:
    """Only now that the lock is ours is anything written, so a living holder's name is never lost."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    mine = Holder(_user(), socket.gethostname(), os.getpid(), now)
    with suppress(OSError):  # a full disk: the lock counts, the name is a courtesy
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(mine)).encode(), 0)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"user {os.geteuid()}"


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), named)
