"""Whether a folder that will be written at the end of a long work can be written: asked before the work."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile


def check_writable(folder: Path, name: str) -> None:
    """Refuse a folder that this user cannot write into; what the question makes, it takes away again.

    Args:
        name: the option or setting that named the folder.
    Raises:
        ValueError: names both, and the system's reason.
    """
    made: list[Path] = []
    try:
        made = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ValueError(f"{name}={folder} must be a folder this user can write to, found: {why}") from None
    finally:
        for place in made:
            with suppress(OSError):
                place.rmdir()
