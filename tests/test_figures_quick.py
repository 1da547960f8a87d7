"""Every figure of the gallery from nothing at the small scale: really pretrained, tuned, sampled, collected, drawn."""

import csv
import re
import subprocess
import sys
from pathlib import Path

from analysis.gallery.entries import SWEEP_LACKS_RUNS
from analysis.gallery.registry import FIGURES

PYTHON = Path(sys.executable)


def test_every_figure_is_drawn_from_runs_of_the_small_scale(tmp_path: Path) -> None:
    """As `make figures scale=quick` does it, in an empty folder."""

    def ran(*words: str, may_end_with: int = 0) -> str:
        done = subprocess.run([PYTHON, *words], cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=1800)
        assert done.returncode in (0, may_end_with), f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    for line in ran("-m", "analysis", "figures", "--scale", "quick", "--commands").splitlines():
        (command, *words), *may_lack = (half.split() for half in line.split(" || "))
        assert command == "python" and may_lack in ([], [["test", "$?", "=", str(SWEEP_LACKS_RUNS)]])
        more = ["tracking=jsonl"] if "sweep" in words and "-m" in words[2:] else []
        ran(*words, *more, may_end_with=SWEEP_LACKS_RUNS if may_lack else 0)
    ran("-m", "analysis", "figures", "--scale", "quick")

    out = tmp_path / "outputs/figures_quick"
    page = re.sub(r"<[^>]*>", "", (out / "index.html").read_text())
    assert "Its runs are not there yet" not in page
    for one in FIGURES:
        assert (out / f"{one.name}.pdf").stat().st_size > 2000, one.name
        assert len(list(csv.DictReader((out / f"{one.name}.csv").open()))) > 1, one.name
        assert not one.runs or (out / f"{one.name}.txt").read_text().startswith("Scale quick: "), one.name
