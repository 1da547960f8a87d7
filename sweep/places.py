"""Whether a folder that work will be written to can be written: tried before the work."""

from __future__ import annotations

import argparse
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweep import sharing


def named(text: str) -> str:
    """An option's file or folder, for argparse; an empty name, as of an unset variable, would be the working folder.

    Raises:
        argparse.ArgumentTypeError: the name is empty.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError(
            f"expected a file or folder, found {text!r}; is a variable of the shell unset?"
        )
    return text


def check_writable(folder: Path, name: str) -> None:
    """Refuse a folder that this user cannot write into; ValueError as of `trial`."""
    with trial(folder, name):
        pass


@contextmanager
def trial(folder: Path, name: str) -> Iterator[Path]:
    """A folder with a file in it, to try what else is to be done in `folder`; all is gone again behind it.

    What is missing of `folder` is made inside the trial's own folder, in the closest one that exists: of two sweeps
    that begin at once, none finds what the other takes away again.

    Args:
        name: the option or setting that named the folder.
    Raises:
        ValueError: names both and the system's reason, also for an OSError of what is tried.
    """
    if "\0" in str(folder):
        raise ValueError(_refusal(repr(str(folder)), name, "a NUL character, which no path has"))
    above = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), folder)
    probe = above / f".probe-{uuid.uuid4().hex}"
    inside = probe / folder.relative_to(above)
    try:
        inside.mkdir(parents=True)
        (inside / "file").write_bytes(b"x")
        yield inside
    except OSError as error:
        why = [_refusal(str(folder), name, error.strerror or str(error))]
        why += [sharing.denied(error)] if isinstance(error, PermissionError) else []
        raise ValueError("; ".join(why)) from error
    finally:
        shutil.rmtree(probe, ignore_errors=True)


def _refusal(folder: str, name: str, why: str) -> str:
    return (
        f"{name}={folder} must be a folder this user can write to, found: {why}; choose another with {name}=FOLDER or "
        "free the disk; nothing was done"
    )
