"""The folder that results are written to, made and tried before anything is computed."""

from __future__ import annotations

import tempfile
from pathlib import Path


def made(folder: str | Path) -> Path:
    """The folder, made where it is not there, in which a file can be written.

    Raises:
        ValueError: it is a file, or it cannot be made or written to.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"--out {folder}: nothing can be written there ({error.strerror or error}); name a folder of your own"
        ) from error
    return folder
