"""A new arm is the files that CONTRIBUTING.md names, and is then in table, figure, legend and verdicts."""

import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
from tiny_sweep import tiny

ROOT = Path(__file__).parents[1]
METHOD = '''
"""DPO on the shortest wrong solution of each problem."""
from sweep.data.records import Pair
from sweep.methods.dpo import good_and_wrong, whole_pair
from sweep.methods.dials import WHOLE
from sweep.methods.material import Material, Method


def pairs(material: Material) -> list[Pair]:
    """One pair a problem."""
    found = good_and_wrong(material)
    return [whole_pair(material, name, good[0], min(wrong, key=len)) for name, good, wrong in found]


ENTRIES = {"short_dpo": Method(pairs, start="sft", needs="samples", is_preference=True, dials=WHOLE)}
'''
SETTINGS = """
# DPO on the shortest wrong solution of each problem.
name: short_dpo
beta: ${preference.beta}
optim: {lr: 1e-4, passes: 2, batch_size: 8}
"""
ARM = """
    Arm(
        word="short_dpo", name="DPO, short mistakes", source="self", method="short_dpo",
        about="DPO on the shortest wrong solution of each problem.",
        colour="#123456", marker="X", panel="preference pairs",
        claims=(Contrast("Short mistakes are the better ones", "DPO, short mistakes", "DPO"),),
    ),
)  # fmt: skip
"""


def add_arm(root: Path) -> list[str]:
    """Write what a new method is; the files, as CONTRIBUTING.md names them."""
    arms = root / "sweep" / "arms.py"
    (root / "sweep" / "methods" / "short_dpo.py").write_text(METHOD.lstrip())
    (root / "conf" / "method" / "short_dpo.yaml").write_text(SETTINGS.lstrip())
    text = arms.read_text()
    assert text.count("\n)  # fmt: skip\n") == 1
    arms.write_text(text.replace("\n)  # fmt: skip\n", ARM))
    return ["sweep/methods/NAME.py", "conf/method/NAME.yaml", "sweep/arms.py"]


def test_a_new_arm_is_three_files_and_then_in_table_figure_legend_and_verdicts(tmp_path: Path) -> None:
    for folder in ("sweep", "analysis", "conf"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "results"))
    paragraph = re.search(r"## A method\n\n.*?\n\n", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert paragraph is not None
    assert re.findall(r"`((?:sweep|conf)/[\w./]+)`", paragraph[0]) == add_arm(tmp_path)

    def ask(*words: str) -> str:
        env = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    unsure = "dataset.curriculum=[{n_documents: 2500, lr: 1e-2, tail_fraction: 0.4, batch_size: 32}]"
    grid = ["-m", *tiny("n_problems=8,16,32", unsure), "arm=sft,dpo,short_dpo", "seed=0,1"]
    ask("sweep", *grid)
    ask("sweep", "collect", *grid, "--out", "table")
    runs = pd.read_parquet(tmp_path / "table" / "runs.parquet")
    assert (runs.arm == "DPO, short mistakes").sum() == 6
    assert (runs[runs.arm == "DPO, short mistakes"].n_rows > 0).all()

    ask("analysis", "report", "table", "--law", "power", "--out", "report", "--draws", "100")
    page = html.unescape((tmp_path / "report" / "index.html").read_text())
    assert "Short mistakes are the better ones" in page
    drawn = (tmp_path / "report" / "controls.svg").read_text()
    assert "#123456" in drawn and "DPO, short mistakes" in drawn
