"""The peers' own environment, made once from peers.txt."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from .measuring import ROOT

WANTED = Path(__file__).with_name("peers.txt")
PLACE = ROOT / "outputs" / "bench" / "peers"


def python() -> Path:
    """Its interpreter, which is there after `install`."""
    return PLACE / "bin" / "python"


def is_installed() -> bool:
    """Whether the environment holds what peers.txt names now."""
    made = PLACE / "made-from"
    return made.exists() and made.read_text(encoding="utf-8") == _wanted()


def install() -> None:
    """Make the environment, or make it anew where peers.txt has changed.

    Raises:
        subprocess.CalledProcessError: a package cannot be had.
    """
    if is_installed():
        return
    print(f"installing the peers into {PLACE}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", PLACE], check=True)
    subprocess.run([python(), "-m", "pip", "install", "-q", "-r", WANTED], check=True)
    (PLACE / "made-from").write_text(_wanted(), encoding="utf-8")


def _wanted() -> str:
    return hashlib.sha256(WANTED.read_bytes()).hexdigest()
