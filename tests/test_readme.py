"""Every command of the README runs, in the order it stands there."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GSM8K = '{"question": "Ann has 2 apples and buys %d. How many has she?", "answer": "2 + %d = %d\\n#### %d"}\n'

MATH = '{"problem": "What is %d + 2?", "solution": "We add.\\nIt is $\\\\boxed{%d}$."}\n'


def commands() -> list[str]:
    """The lines of the README's bash blocks, comments cut off."""
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    return [line.split("   #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder to stand in, with problems shaped like GSM8K and MATH where the README wants the files."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "data/gsm8k").mkdir(parents=True)
    for name, first in (("train", 0), ("test", 9000)):
        rows = [GSM8K % (n, n, n + 2, n + 2) for n in range(first, first + 8000 if name == "train" else first + 50)]
        (folder / f"data/gsm8k/{name}.jsonl").write_text("".join(rows))
    (folder / "data/math").mkdir()
    for name, first, n_rows in (("train", 0, 8000), ("test", 9000, 50)):
        (folder / f"data/math/{name}.jsonl").write_text(
            "".join(MATH % (n, n + 2) for n in range(first, first + n_rows))
        )
    (folder / "analysis").symlink_to(ROOT / "analysis")
    return folder


@pytest.mark.parametrize("command", commands())
def test_the_command_runs(command: str, desk: Path) -> None:
    words = command.split()
    if words[0] == "make":  # the suite runs inside make test, and the study takes half an hour: they must exist
        done = subprocess.run(["make", "-n", "-C", str(ROOT), *words[1:]], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return
    if "hydra/launcher=slurm" in words:  # needs the cluster and the weights: its plan is what can be checked here
        command = " ".join([*words[:3], "plan", *(w for w in words[3:] if w != "hydra/launcher=slurm")])
    command = command.replace("=COMMIT", f"={'0' * 40}")  # the full commit of a model that a reader pins
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=desk,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PATH": path, "WANDB_MODE": "offline"},
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def test_the_multipliers_it_states_are_those_of_record() -> None:
    with (ROOT / "analysis/results/study/multipliers_greedy.csv").open(encoding="utf-8") as stream:
        rows = {row["arm"]: row for row in csv.DictReader(stream)}
    for name in ("RFT", "DPO", "per-step DPO"):
        value, low, high = (float(rows[name][column]) for column in ("multiplier", "ci_low", "ci_high"))
        assert f"{value:.2f}x [{low:.2f}, {high:.2f}]" in README


def test_the_study_page_states_the_table_of_record() -> None:
    page = (ROOT / "docs/study.md").read_text(encoding="utf-8")
    with (ROOT / "analysis/results/study/multipliers_greedy.csv").open(encoding="utf-8") as stream:
        rows = {row["arm"]: row for row in csv.DictReader(stream)}
    said = dict(re.findall(r"^\| ([^|]+?) \| (\S+x \[[^]]+\]) at [.][0-9]+ \|", page, flags=re.MULTILINE))
    arms = {"RFT (self-generated positives)": "RFT", "control: RFT on sound steps alone": "RFT, sound steps",
            "DPO on distant pairs": "DPO, distant pairs", "control: RFT without the verifier": "RFT without verifier",
            "control: pairs at a random step": "random-step DPO",
            "control: SFT, equally many updates": "SFT, more updates"}  # fmt: skip
    assert len(said) == 10
    for name, text in said.items():
        row = rows[arms.get(name, name.removeprefix("control: "))]
        value, low, high = (float(row[column]) for column in ("multiplier", "ci_low", "ci_high"))
        assert text == f"{value:.2f}x [{low:.2f}, {high:.2f}]", name


def test_the_files_the_readme_names_are_there() -> None:
    named = re.findall(r"`((?:sweep|conf|analysis|slurm|tests)/[\w./]*)`", README)
    assert named
    assert [name for name in named if "NAME" not in name and not (ROOT / name).exists()] == []
