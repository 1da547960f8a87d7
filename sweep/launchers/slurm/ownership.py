"""Whose files these are: what is run as one user is written by nobody else, whatever the umask of a shared store."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def permissions() -> int:
    """The umask of this process."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


@contextmanager
def ours_alone() -> Iterator[None]:
    """What is written inside is written by nobody else, whatever the umask: jobs run it as us."""
    mask = os.umask(permissions() | WRITABLE_BY_OTHERS)
    try:
        yield
    finally:
        os.umask(mask)


def me() -> str:
    return name_of(os.getuid())


def name_of(uid: int) -> str:
    """A user's name, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def check_ours(paths: Iterable[Path]) -> None:
    """Refuse files whose content is run as this user, if another one wrote them or could have.

    Raises:
        ValueError: names the owner, or the permission.
    """
    for path in paths:
        found = path.stat(follow_symlinks=False)
        if found.st_uid != os.getuid():
            raise ValueError(
                f"{path} belongs to {name_of(found.st_uid)}: its setup lines and its code would be run as {me()}; give "
                "your own sweep command, which builds what is missing"
            )
        if stat.S_ISLNK(found.st_mode) or found.st_mode & WRITABLE_BY_OTHERS:
            what = "is a link" if stat.S_ISLNK(found.st_mode) else f"has the mode {stat.S_IMODE(found.st_mode):04o}"
            raise ValueError(
                f"{path} {what}, so others could have written what would be run as {me()}; give the sweep command "
                "again, which makes a submission of its own"
            )
