"""What a job's script can hold: texts that stand on one line, and lines of shell that bash can read."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NOT_IN_A_LINE = ("Cc", "Cs", "Zl", "Zp")  # Unicode's categories: control, lone surrogate, line and paragraph separator


def text(where: str, value: Any) -> str:
    """A value that stands on one line of a script.

    Raises:
        ValueError: it is none, is empty, or holds what sbatch would not read as it is written.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | Path):
        raise ValueError(f"{where} must be text, found {value!r}; put it in quotes")
    value = str(value)
    if not value.strip():
        raise ValueError(f"{where} is empty; say a value, or null where it is left to SLURM")
    if "\\" in value:
        raise ValueError(f"{where}={value!r} has a backslash, which sbatch takes away from the lines of a script")
    return _one_line(where, value)


def shell_lines(where: str, value: Any) -> list[str]:
    """Lines of shell: a list of texts, or one text that is one line.

    Raises:
        ValueError: another type, a line that is several, or one that is none of the shell's.
    """
    value = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(value, list):
        raise ValueError(f"{where} must be a list of shell lines, found {value!r}")
    for number, line in enumerate(value):
        if not isinstance(line, str):
            raise ValueError(f"{where}[{number}] must be a line of shell, found {line!r}")
        _one_line(f"{where}[{number}]", line)
        if re.match(r"\s*#\s*SBATCH\b", line):
            raise ValueError(
                f"{where}[{number}]={line!r} is a comment to bash; give +hydra.launcher.OPTION=VALUE instead"
            )
    return list(value)


def check_shell(where: str, lines: Sequence[str]) -> None:
    """Refuse lines that bash cannot parse.

    Raises:
        ValueError: with what bash says.
    """
    if fault := _fault(lines):
        raise ValueError(f"{where}: bash cannot read it: {fault}")


def commands(lines: Sequence[str]) -> list[list[str]]:
    """Lines of shell in groups of which each is complete: a command a line, or the lines of an `if` together."""
    out: list[list[str]] = []
    group: list[str] = []
    for line in lines:
        group.append(line)
        if not _fault(group):
            out.append(group)
            group = []
    return [*out, group] if group else out


def _fault(lines: Sequence[str]) -> str:
    """What bash says of lines that it cannot parse or that are not complete; empty where they are."""
    source = "".join(f"{line}\n" for line in lines)
    if shutil.which("bash") is None:
        return ""  # not to be told here; what runs the lines is the node's
    quiet = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}  # no warning of its own about a locale
    done = subprocess.run(["bash", "-n"], input=source, env=quiet, capture_output=True, encoding="utf-8", check=False)
    if re.search(r"(?<!\\)(\\\\)*\\\n$", source):
        return "its last line ends in a backslash and would go on in a line that is not of it"
    said = "; ".join(line.removeprefix("bash: ") for line in done.stderr.splitlines())
    return said or (f"exit code {done.returncode}" if done.returncode else "")


def _one_line(where: str, value: str) -> str:
    for place, letter in enumerate(value):
        if unicodedata.category(letter) in NOT_IN_A_LINE:
            raise ValueError(
                f"{where}={value!r} has the control character U+{ord(letter):04X} at {place}; a job's script holds one "
                "line a setting, and what follows would be another"
            )
    return value
