"""What git says of a folder, whatever repository the environment names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class GitRefuses(Exception):
    """Git is not there or cannot say what it was asked, with its reason."""


def git_said(folder: Path, *words: str) -> str:
    """The output of `git WORDS` in a folder; nothing of the repository is written, no program of its set-up is run.

    Raises:
        GitRefuses: git is not installed, does not answer within a minute, or ends with an error.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", *words]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            env=environment | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=60,
            check=False,
        )
    except FileNotFoundError as error:
        raise GitRefuses("git is not installed") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitRefuses(f"git {words[0]}: {error}") from error
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise GitRefuses(f"git {words[0]}: {said.removeprefix('fatal: ') or f'exit code {done.returncode}'}")
    return done.stdout
