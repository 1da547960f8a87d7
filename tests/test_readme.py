"""Every command of the README and every snippet of the documentation runs, in the order it stands there."""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GSM8K = '{"question": "Ann has 2 apples and buys %d. How many has she?", "answer": "2 + %d = %d\\n#### %d"}\n'

MATH = '{"problem": "What is %d + 2?", "solution": "We add.\\nIt is $\\\\boxed{%d}$."}\n'
SYMBOLIC = '{"question": "Bo has %d pens and buys 2. How many?", "solution": "%d + 2 = %d\\n#### %d", "answer": "%d"}\n'


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
    (folder / "data/gsm_symbolic").mkdir()
    for name, first, n_rows in (("test", 0, 50), ("unseen", 50, 50), ("validation", 100, 50), ("train", 200, 131_072)):
        rows = [SYMBOLIC % (n, n, n + 2, n + 2, n + 2) for n in range(first, first + n_rows)]
        (folder / f"data/gsm_symbolic/{name}.jsonl").write_text("".join(rows))
    runs = [
        f"{arm},{n},0,{right + n // 20},1000"
        for arm, right in (("SFT", 400), ("RFT", 460))
        for n in (500, 1000, 2000, 4000)
    ]
    (folder / "runs.csv").write_text("\n".join(["arm,n_problems,seed,n_correct,n_test", *runs]))
    for name in ("analysis", "tests"):
        (folder / name).symlink_to(ROOT / name)
    return folder


ELSEWHERE = {  # what needs a network, a cluster or a service: the beginning of the line, and where a test has it
    "pip install ": ("test_packaging.py", "pip"),
    "uv venv ": ("test_packaging.py", "uv_reads_the_locks"),
    "uv pip install ": ("test_packaging.py", "uv_reads_the_locks"),
    ".venv/bin/pre-commit install": ("test_house.py", ".pre-commit-config.yaml"),
    "srun ": ("test_slurm_preflight.py", "preflight"),
    "squeue ": ("test_slurm_watch.py", "squeue"),
    "python -m sweep cancel": ("test_slurm_faults.py", "cancel"),
    "python -m sweep sync": ("test_wandb_server.py", "sync"),
    "python -m sweep gc": ("test_gc.py", "gc"),  # composes every experiment
}


def as_run_here(line: str) -> str:
    """The line as a test can run it: what make would do, a plan in place of weights that nobody has here."""
    line = line.replace("=COMMIT", f"={'0' * 40}")  # the full commit of a model that a reader pins
    words = line.split()
    if words[:1] == ["make"]:  # the suite runs inside make test, and the study takes half an hour: they must exist
        return shlex.join(["make", "-n", "-C", str(ROOT), *words[1:]])
    if any(line.lstrip().startswith(beginning) for beginning in ELSEWHERE):
        return ":"
    if words[:1] == ["sbatch"]:  # the sweep that the job runs
        inner = shlex.split(shlex.split(line)[-1])
        return shlex.join([*inner[:3], "plan", *inner[3:]])
    if "hydra/launcher=slurm" in words:
        rest = [word for word in words if word != "hydra/launcher=slurm"]
        return " ".join(rest if "experiment=smoke" in words else [*rest[:3], "plan", *rest[3:]])
    if "watch" in words:  # it ends with the sweep, which another command runs
        return f"{line} --once"
    return line


def run(line: list[str], desk: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "WANDB_MODE": "offline"}
    done = subprocess.run(line, cwd=desk, capture_output=True, text=True, timeout=600, env=env)
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize("command", commands())
def test_the_command_runs(command: str, desk: Path, tmp_path: Path) -> None:
    is_prepare = "prepare gsm_symbolic" in command  # on the desk its files are there, of another kind
    if is_prepare and importlib.util.find_spec("reasoning_gym") is None:
        pytest.skip("needs the extra gsm_symbolic")
    run(["bash", "-c", as_run_here(command)], tmp_path if is_prepare else desk)


def snippets() -> list[tuple[str, str, str]]:
    """Page, language and text of each snippet of the documentation; behind the README, whose store they share."""
    found = []
    for path in [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md"]:
        blocks = re.findall(
            r"^( *)```(bash|python)\n(.*?)^\1```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        )
        found += [(str(path.relative_to(ROOT)), kind, textwrap.dedent(text)) for _, kind, text in blocks]
    return found


@pytest.mark.parametrize(("page", "language", "text"), snippets())
def test_the_snippet_runs(page: str, language: str, text: str, desk: Path) -> None:
    script = "\n".join(map(as_run_here, text.splitlines()))
    run([sys.executable, "-c", text] if language == "python" else ["bash", "-e", "-c", script], desk)


def test_the_documentation_has_no_snippet_that_is_not_run() -> None:
    for path in (ROOT / "docs").rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"^ *```(\w*)$", text, re.MULTILINE)) <= {"bash", "python", "text", ""}, path
        outside = re.sub(r"^( *)```.*?^\1```", "", text, flags=re.DOTALL | re.MULTILINE)
        assert re.findall(r"^    +(?:python|make|pip|srun|sbatch) .*", outside, re.MULTILINE) == [], path
    for beginning, (name, word) in ELSEWHERE.items():
        assert word in (ROOT / "tests" / name).read_text(encoding="utf-8"), beginning


def test_the_multipliers_it_states_are_those_of_record() -> None:
    with (ROOT / "analysis/results/study/multipliers_greedy.csv").open(encoding="utf-8") as stream:
        rows = {row["arm"]: row for row in csv.DictReader(stream)}
    for name in ("RFT", "DPO", "per-step DPO"):
        value, low, high = (float(rows[name][column]) for column in ("multiplier", "ci_low", "ci_high"))
        assert f"{value:.2f}x [{low:.2f}, {high:.2f}]" in README


@pytest.mark.parametrize(("table", "n_rows"), [("study", 10), ("free_order", 9)])
def test_the_study_page_states_the_tables_of_record(table: str, n_rows: int) -> None:
    study, free_order = (ROOT / "docs/study.md").read_text(encoding="utf-8").split("\n## Free order")
    page = study if table == "study" else free_order
    with (ROOT / f"analysis/results/{table}/multipliers_greedy.csv").open(encoding="utf-8") as stream:
        rows = {row["arm"]: row for row in csv.DictReader(stream)}
    said = dict(re.findall(r"^\| ([^|]+?) \| (\S+x \[[^]]+\]) at [.][0-9]+ \|", page, flags=re.MULTILINE))
    arms = {"RFT (self-generated positives)": "RFT", "control: RFT on sound steps alone": "RFT, sound steps",
            "DPO on distant pairs": "DPO, distant pairs", "control: RFT without the verifier": "RFT without verifier",
            "control: pairs at a random step": "random-step DPO",
            "control: SFT, equally many updates": "SFT, more updates",
            "advantage-filtered RFT (by response)": "advantage-filtered RFT",
            "good steps only (by step)": "good steps only"}  # fmt: skip
    assert len(said) == n_rows
    for name, text in said.items():
        row = rows[arms.get(name, name.removeprefix("control: "))]
        value, low, high = (float(row[column]) for column in ("multiplier", "ci_low", "ci_high"))
        assert text == f"{value:.2f}x [{low:.2f}, {high:.2f}]", name


def test_the_files_the_readme_names_are_there() -> None:
    named = re.findall(r"`((?:sweep|conf|analysis|slurm|tests)/[\w./]*)`", README)
    assert named
    assert [name for name in named if "NAME" not in name and not (ROOT / name).exists()] == []
