"""Several users, one folder: modes by the umask, no link followed, owners asked, a refusal told in one paragraph."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import re
import stat
import threading
from contextlib import suppress
from pathlib import Path

_SWAPPED = threading.Lock()


def umask() -> int:
    """The process's file mode creation mask, without changing it where the kernel tells it."""
    try:
        said = re.search(
            r"^Umask:\s*([0-7]+)$",
            Path("/proc/self/status").read_text(encoding="ascii", errors="replace"),
            re.MULTILINE,
        )
    except OSError:
        said = None
    if said:
        return int(said[1], 8)
    with _SWAPPED:
        mask = os.umask(0o077)
        os.umask(mask)
    return mask


def withheld(folder: Path) -> str:
    """What this umask keeps from the group that a folder is shared with, and what to do; empty where nothing."""
    found = folder.stat()
    with suppress(OSError, AttributeError):  # what a default ACL gives, no umask takes
        if "system.posix_acl_default" in os.listxattr(folder):
            return ""
    mask = umask()
    if not found.st_mode & stat.S_IWGRP or not mask & 0o060:
        return ""
    what = "read" if mask & 0o040 else "resume or clean up"
    return (
        f"{folder} is shared with the group {_group(found.st_gid)}, and with umask {mask:03o} nobody else of it can "
        f"{what} what is built here: give `umask 002` before the command"
    )


def obey_umask(folder: Path) -> None:
    """Give a folder and all below it the modes that plain creation would: 0666 and 0777 less the umask.

    Libraries write through temporary files and folders of mode 0600 and 0700, which nobody else of a group could read.
    What is wider already (a default ACL, a folder's set-group-id) stays.
    """
    mask = umask()
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            continue
        wanted = stat.S_IMODE(mode) | (0o777 if stat.S_ISDIR(mode) else 0o666) & ~mask
        if wanted != stat.S_IMODE(mode):
            path.chmod(wanted)


def opened(path: Path, flags: int) -> int:
    """A descriptor of a regular file of a shared folder; nothing is truncated and no link is followed.

    Raises:
        ValueError: the path is a symbolic link, has a second name, or is no regular file.
        OSError: as os.open.
    """
    if path.is_symlink():  # O_NOFOLLOW closes the moment between this look and the opening
        raise ValueError(f"{path}: expected a regular file, found a symbolic link; it is not followed: remove it")
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:  # in a sticky folder the kernel (fs.protected_regular) refuses O_CREAT of what another user made there
        descriptor = os.open(path, flags & ~os.O_CREAT)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
        descriptor = os.open(path, flags, 0o666)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        kind = "a file with a second name (hard link)" if stat.S_ISREG(found.st_mode) else "no file"
        raise ValueError(f"{path}: expected a regular file, found {kind}; it is not written to: remove it")
    return descriptor


def regular(path: str | Path, flags: int) -> int:
    """An opener for `open`: a pipe or device in a file's place is refused, where opening it would wait for ever.

    Raises:
        OSError: it is neither a regular file nor a folder, or as os.open.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # of a folder `open` itself says what it is
        os.close(descriptor)
        raise OSError(errno.EINVAL, "expected a regular file, found a pipe or device", str(path))
    return descriptor


def bytes_of(path: Path) -> bytes:
    """The content of a regular file of a shared folder; OSError of anything else."""
    with open(path, "rb", opener=regular) as stream:
        return stream.read()


def real_folder(root: Path, *parts: str) -> Path:
    """`root/parts`, made where it is missing; no part below the root may be a symbolic link.

    Raises:
        ValueError: a part is a link: what is written below it would land elsewhere.
    """
    root.mkdir(parents=True, exist_ok=True)
    folder = root
    for part in parts:
        folder = folder / part
        if folder.is_symlink():
            raise ValueError(f"{folder}: expected a folder, found a symbolic link; it is not followed: remove it")
        folder.mkdir(exist_ok=True)
    return folder


def owned_by_us(path: Path) -> bool:
    """Whether what lies there is this user's or root's, and no link: what may be unpickled or run."""
    found = path.lstat()
    return not stat.S_ISLNK(found.st_mode) and found.st_uid in (0, os.geteuid())


def denied(error: PermissionError) -> str:
    """A refused access as one paragraph: the path, its owner and mode, who asks, and what to do."""
    if not error.filename:
        return f"permission denied: {error}; ask the owner of the store for access (a common group, umask 002)"
    asked = Path(os.fsdecode(error.filename))
    path = _nearest(asked)
    found = path.lstat()
    who = f"{_user(found.st_uid)}:{_group(found.st_gid)}"
    return (
        f"{asked}: permission denied: {path} belongs to {who} with mode {stat.S_IMODE(found.st_mode):04o}, and this is "
        f"{_user(os.geteuid())}; its owner can give the group access with `chmod -R g+rwX {path}` and should work with "
        "umask 002, or work in a folder of your own (exec.store=FOLDER, --out FOLDER)"
    )


def _nearest(path: Path) -> Path:
    """The path itself, or the closest folder above it that can be looked at."""
    for place in (path, *path.absolute().parents):
        try:
            place.lstat()
        except OSError:
            continue
        return place
    return Path("/")


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return f"group {number}"
