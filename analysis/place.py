"""The folder that results are written to: tried before anything is computed, made when there is something to write."""

from __future__ import annotations

import tempfile
from pathlib import Path


def tried(folder: str | Path) -> Path:
    """The folder, in which a file can be written; what had to be made for the trial is gone again.

    Raises:
        ValueError: it is a file, or it cannot be made or written to.
    """
    folder = Path(folder)
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for one in missing:
            one.rmdir()
    except OSError as error:
        raise ValueError(
            f"--out {folder}: nothing can be written there ({error.strerror or error}); name a folder of your own"
        ) from error
    return folder
