"""The three first hours of docs/first-hour run as they stand, and show what they say that one sees."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
from checkouts import copied
from test_packaging import HIDES, WITHOUT
from test_slurm_cluster import why_no_cluster
from test_slurm_faults import nodes as nodes  # the fixture

ROOT = Path(__file__).parents[1]
HOURS = ROOT / "docs" / "first-hour"


def missing(script: str, said: str) -> list[str]:
    """The first line that the script promises and its output has not, behind the promise before; `...` is anything."""
    rest = said
    for promise in re.findall(r"^#> (.*)$", script, flags=re.MULTILINE):
        found = re.search("^" + ".*".join(map(re.escape, promise.split("..."))) + "$", rest, flags=re.MULTILINE)
        if found is None:
            return [promise]
        rest = rest[found.end() :]
    return []


def run(name: str, *words: str | Path, cwd: Path, script: Path | None = None, **more: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    line = ["bash", str(script or HOURS / name), *map(str, words)]
    env = {**os.environ, "PATH": path, **more}
    done = subprocess.run(line, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert missing((HOURS / name).read_text(encoding="utf-8"), done.stdout) == [], done.stdout
    return done.stdout


def test_a_promise_that_is_not_kept_or_out_of_order_is_found() -> None:
    script = "#> one ... three\n#> four\n"
    assert missing(script, "zero\none two three\nand\nfour\n") == []
    assert missing(script, "four\none two three\n") == ["four"]
    assert missing(script, "xone two three\nfour\n") == ["one ... three"]


@pytest.mark.parametrize("name", ["csv.sh", "cluster.sh", "laptop.sh"])
def test_every_command_of_a_first_hour_is_explained_and_promises_something(name: str) -> None:
    text = (HOURS / name).read_text(encoding="utf-8")
    steps = [int(number) for number in re.findall(r"^# (\d+)\. ", text, flags=re.MULTILINE)]
    assert steps == list(range(1, len(steps) + 1)) and len(steps) >= 7
    assert len(re.findall(r"^#> ", text, flags=re.MULTILINE)) >= 6
    assert os.access(HOURS / name, os.X_OK)
    page = (ROOT / "docs" / "first-hours.md").read_text(encoding="utf-8")
    assert f"first-hour/{name}" in page


@pytest.mark.slow
def test_the_first_hour_with_a_table_and_no_torch(wheel: Path, tmp_path: Path) -> None:
    packages = (
        tmp_path / "packages"
    )  # in place of a download: the packages that are here, but for what must not be needed
    packages.mkdir()
    packages.joinpath("sitecustomize.py").write_text(
        f"{HIDES}sys.path.append({str(Path(hydra.__file__).parents[1])!r})\n"
    )
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_IGNORE_INSTALLED": "1", "WITHOUT": ",".join(WITHOUT)}
    desk = tmp_path / "desk"
    desk.mkdir()
    run("csv.sh", wheel, cwd=desk, PYTHONPATH=str(packages), MPLCONFIGDIR=str(tmp_path / "matplotlib"), **offline)
    page = (desk / "first-hour-csv" / "report" / "index.html").read_text(encoding="utf-8")
    assert "RFT" in page and "<svg" in page


@pytest.mark.slow
def test_the_first_hour_on_a_laptop(tmp_path: Path) -> None:
    checkout = copied(tmp_path / "checkout")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout / ".venv"], check=True)
    (site,) = checkout.glob(".venv/lib/python3.*/site-packages")
    (site / "a.pth").write_text(f"{Path(hydra.__file__).parents[1]}\n{checkout}\n")
    for stamp in (".run", ".dev"):  # what make would install is there
        (checkout / ".venv" / stamp).touch()
    run("laptop.sh", cwd=tmp_path, script=checkout / "docs" / "first-hour" / "laptop.sh", WANDB_MODE="offline")
    assert (checkout / "outputs" / "smoke" / "report" / "index.html").is_file()


@pytest.mark.slow
@pytest.mark.slurm
@pytest.mark.skipif(why_no_cluster() is not None, reason=str(why_no_cluster()))
def test_the_first_hour_on_a_cluster(nodes: Path, tmp_path: Path) -> None:
    said = run("cluster.sh", tmp_path / "store", cwd=tmp_path, PYTHON=sys.executable, ONE_MACHINE="1")
    assert (tmp_path / "table" / "runs.parquet").is_file() and "failed" not in said
    assert shutil.which("sinfo")
