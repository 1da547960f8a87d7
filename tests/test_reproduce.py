"""Which replicates `make reproduce` runs: the Makefile's own recipe, with a python that notes what it is asked for."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTES = "asked.txt"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile and an environment that is installed, whose python draws numbers and runs nothing."""
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/bash\n[ "$1" = -c ] && exec {sys.executable} "$@"\necho "$@" >> {tmp_path / NOTES}\n')
    python.chmod(0o755)
    for name in ("requirements.lock", "pyproject.toml", ".venv/.run"):
        (tmp_path / name).touch()
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    return tmp_path


def asked(checkout: Path, *words: str) -> list[str]:
    """The replicates of each command that `make reproduce WORDS` gives."""
    (checkout / NOTES).write_text("")
    subprocess.run(["make", "reproduce", *words], cwd=checkout, check=True, capture_output=True, text=True)
    lines = (checkout / NOTES).read_text().splitlines()
    assert [line.split()[2] for line in lines] == ["-m", "collect", "report"]
    return re.findall(r"replicate=(\S+)", "\n".join(lines))


def test_new_replicates_are_drawn_once_for_a_checkout(checkout: Path) -> None:
    run, collected = asked(checkout)
    assert run == collected
    assert len({number for number in run.split(",") if int(number) >= 1000}) == 3
    assert asked(checkout) == [run, run]


def test_two_checkouts_draw_other_replicates(checkout: Path) -> None:
    first = asked(checkout)
    (checkout / "outputs/reproduce/replicates").unlink()
    assert asked(checkout) != first


@pytest.mark.parametrize(("given", "told"), [("record", "1,2,3"), ("21,22,23,24", "21,22,23,24")])
def test_the_record_s_replicates_or_any_others_can_be_asked_for(checkout: Path, given: str, told: str) -> None:
    fresh = asked(checkout)
    assert asked(checkout, f"replicates={given}") == [told, told]
    assert asked(checkout) == fresh
