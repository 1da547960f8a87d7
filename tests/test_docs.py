"""The documentation's pages: they build without a warning, need nothing from outside, and show what is drawn now."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from analysis.figures.map import map_figure
from analysis.gallery.registry import FIGURES
from analysis.map import read_map

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, as `make docs` builds them."""
    folder = tmp_path_factory.mktemp("site")
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_site_has_the_pages_that_lie_elsewhere_and_their_pictures(site: Path) -> None:
    for page, words in {
        "index.html": "How much is negative data worth?",
        "contributing.html": "Three files.",
        "changelog.html": "Unreleased",
        "slurm.html": "Every file that appears",
        "tracking.html": "The main chart in three clicks",
        "reference/analysis.html": "What one of the arm's problems is worth in the baseline's.",
    }.items():
        assert words in (site / page).read_text(encoding="utf-8"), page
    for page in site.rglob("*.html"):
        for name in re.findall(r'<img [^>]*src="?([^" >]+)', page.read_text(encoding="utf-8")):
            assert (page.parent / name).is_file(), f"{page.name} shows {name}"


@pytest.mark.slow
def test_every_option_of_the_analysis_stands_in_the_reference(site: Path) -> None:
    page = re.sub(r"<[^>]+>", "", (site / "reference" / "commands.html").read_text(encoding="utf-8"))
    options = set(re.findall(r'"(--[a-z-]+)"', (ROOT / "analysis" / "command_line.py").read_text(encoding="utf-8")))
    assert options and {option for option in options if option not in page} == set()


@pytest.mark.slow
def test_a_reader_fetches_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        fetched = re.findall(
            r'<(?:script|link|img)[^>]+(?:src|href)="?((?:https?:)?//[^" >]+)', page.read_text("utf-8")
        )
        assert fetched == [], page


@pytest.mark.slow
def test_the_pictures_of_the_statistics_are_those_that_are_drawn(tmp_path: Path) -> None:
    line = [sys.executable, "docs/pictures.py", str(tmp_path)]
    subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    drawn = {path.name for path in tmp_path.iterdir()}
    shown = re.findall(r"\(pictures/([\w.]+)\)", (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8"))
    assert drawn == set(shown) == {path.name for path in (ROOT / "docs" / "pictures").iterdir()}


def of_docs(name: str) -> ModuleType:
    """A script of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_gallery_page_shows_every_figure_as_drawn_from_the_table_of_record_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # no table of one's own
    gallery = of_docs("gallery")
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert list(sections) == [gallery.title_of(one) for one in FIGURES]
    for one in FIGURES:
        section, line = sections[gallery.title_of(one)], gallery.table_line(one)
        has_data = bool(line or one.plans)
        assert (f"(figures/{one.name}.png)" in section) == has_data, f"{one.name}: draw it anew with `make pictures`"
        assert line in section, f"{one.name}: its table has changed, `make pictures` draws it anew"
    shown = set(re.findall(r"\(figures/([\w.]+)\)", page))
    assert shown == {path.name for path in (ROOT / "docs" / "figures").iterdir()}


def test_a_figure_without_a_table_of_record_says_so_on_the_gallery_page(tmp_path: Path) -> None:
    gallery, one = of_docs("gallery"), FIGURES[1]
    assert gallery.section(one, tmp_path).endswith(f"{one.shows}\n\nNot run at full scale yet.\n")
    (tmp_path / f"{one.name}.txt").write_text("Said.\n")
    text = gallery.section(one, tmp_path)
    assert f"](figures/{one.name}.png)\n\nSaid.\n\nTable: `analysis/results/study` (" in text


def test_the_page_of_the_map_says_what_its_table_says() -> None:
    """Per-step DPO's gap to SFT at both sizes and what the ingredient moves, in points, from the most worth down."""

    def points(row: pd.Series, name: str) -> str:
        value, low, high = (100 * row[key] for key in (name, f"{name}_low", f"{name}_high"))
        return "" if pd.isna(value) else f"{value:.1f} [{low:.1f}, {high:.1f}]"

    found = read_map(ROOT / "analysis" / "results" / "map" / "map.csv")
    (axes, *_) = map_figure(found).axes
    wanted = []
    for name in reversed([label.get_text() for label in axes.get_yticklabels()]):
        of = found[(found["variant"] == name.replace(" ", "_")) & (found["arm"] == "per-step DPO")].set_index(
            "n_problems"
        )
        wanted.append([name, *(points(of.loc[n], key) for n in (512.0, 2048.0) for key in ("gap", "moved"))])
    page = (ROOT / "docs" / "study.md").read_text(encoding="utf-8").split("## When is negative data worth 8x?")[1]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")
    ]
    first = next(i for i, row in enumerate(rows) if row[0] == "variant")
    assert [[row[0], *row[2:6]] for row in rows[first + 1 : first + 1 + len(wanted)]] == wanted
