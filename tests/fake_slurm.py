"""SLURM's commands as scripts that print what a test wants: for questions no real cluster can be made to answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

OPTIONS = (
    "account array begin clusters comment constraint core-spec cpus-per-gpu cpus-per-task dependency error exclude "
    "exclusive export gpus gpus-per-node gpus-per-task gres hold job-name licenses mail-type mail-user mem mem-per-cpu "
    "mem-per-gpu nice nodelist nodes ntasks ntasks-per-core ntasks-per-node output partition qos requeue reservation "
    "signal time wckey wrap"
)


def put_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch, commands: Mapping[str, str]) -> None:
    """Commands that run these lines of shell, first on PATH; `sbatch --help` names OPTIONS."""
    folder.mkdir(exist_ok=True)
    shown = "".join(f"      --{name}=x\\n" for name in OPTIONS.split())
    for name, lines in {"sbatch": f"printf '{shown}'", "srun": "true", **commands}.items():
        (folder / name).write_text(f"#!/bin/bash\n{lines}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
