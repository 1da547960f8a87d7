"""The report from end to end: files, page, and what a browser makes of it."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_tables import FALLING, write_sweep
from browser import needs_chromium, shown
from simulated_tables import power

from analysis.noise.draws import draws
from analysis.options import Options
from analysis.report import made_of, write
from analysis.report.write import Written, write_report
from analysis.sheet import Sheet
from analysis.tables.read import table_at
from analysis.worth.comparison import Comparison
from analysis.worth.readings import headline
from analysis.worth.words import multiplier_text

FLAT = {"SFT": power(0.5, 0.0), "RFT": power(0.45, -0.02), "DPO": power(0.3, 0.0), "per-step DPO": power(0.25, 0.03)}
QUICK = Options(n_draws=200)


@pytest.fixture(scope="module")
def out(falling_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(falling_table, folder, QUICK)
    return folder


def test_the_report_holds_figures_tables_and_verdicts(out: Path) -> None:
    for figure in (
        "error_against_n_problems",
        "controls",
        "multiplier_at_each_size",
        "multiplier_against_error",
        "residuals",
        "error_against_cost",
    ):
        assert (out / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
        assert (out / f"{figure}.pdf").read_bytes().startswith(b"%PDF")
        assert "<svg" in (out / f"{figure}.svg").read_text()
    for sheet in ("errors", "multipliers_greedy", "multipliers_sampled", "controls", "fits", "cost", "checklist"):
        assert (out / f"{sheet}.csv").stat().st_size > 0
        assert "\\toprule" in (out / f"{sheet}.tex").read_text()


def test_the_page_is_self_contained_and_says_how_it_was_made(out: Path) -> None:
    text = (out / "index.html").read_text()
    assert not re.search(r'(src|href)="(?!#|data:)', text.replace("xlink:href", "xhref"))
    for words in (
        "python -m sweep -m experiment=reproduce",
        "torch 2.13.0",
        "abc123",
        "SFT lr",
        "skills",
        "Which came first is not known.",
        "base",
        "sampled error",
        "dropped points",
    ):
        assert words in text
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_the_multiplier_in_the_table_is_the_one_of_the_engine(falling_table: Path, out: Path) -> None:
    m = headline(Comparison(draws(table_at(falling_table), 200)), "RFT", "SFT")
    with (out / "multipliers_greedy.csv").open() as file:
        row = next(one for one in csv.DictReader(file) if one["arm"] == "RFT")
    assert float(row["multiplier"]) == m.multiplier and float(row["ci_low"]) == m.ci_low
    assert multiplier_text(m) in (out / "index.html").read_text()


def test_every_multiplier_says_its_error_its_joint_limits_and_its_seeds_and_the_baseline_is_among_them(
    out: Path,
) -> None:
    for name, by_size in (("multipliers_greedy", False), ("multipliers_by_size", True)):
        with (out / f"{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert all(0 < float(row["at_error"]) < 1 for row in rows)
        itself = [row for row in rows if row["arm"] == "SFT against itself"]
        assert len(itself) == (4 if by_size else 1)
        assert all(float(row["ci_low"]) <= 1 <= float(row["ci_high"]) and row["joint_low"] == "" for row in itself)
        for row in rows[: -len(itself)]:
            assert float(row["joint_low"]) <= float(row["ci_low"]) <= float(row["ci_high"]) <= float(row["joint_high"])
            assert int(row["n_joint"]) > 1
        assert any(row["each_low"] for row in rows) and not any(row["each_mean"] for row in itself)
    text = (out / "index.html").read_text()
    assert "SFT against itself, read by the same engine, holds 1 at all of its 4 sizes" in text
    assert " seeds: median " in text and "jointly over" in text
    assert re.search(r"at each arm&#x27;s own error: RFT 0\.\d{3}", text)
    with (out / "cost.csv").open() as file:
        assert all(0 < float(row["at_error"]) < 1 for row in csv.DictReader(file))


def test_the_second_report_of_a_table_is_the_first(falling_table: Path, out: Path, tmp_path: Path) -> None:
    write_report(falling_table, tmp_path, QUICK)
    names = sorted(path.name for path in out.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    for name in names:
        assert (out / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_a_report_of_the_same_table_and_options_is_left_as_it_is(falling_table: Path, tmp_path: Path) -> None:
    first = write_report(falling_table, tmp_path, QUICK)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = write_report(falling_table, tmp_path, QUICK)
    assert (first.is_new, again.is_new) == (True, False)
    assert (again.page, again.files, again.prediction) == (first.page, first.files, first.prediction)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["index.html", "controls.png", "errors.csv", "made_of.json"])
@pytest.mark.parametrize("change", ["edited", "gone"])
def test_a_report_of_which_a_file_is_edited_or_gone_is_made_again(
    out: Path, falling_table: Path, tmp_path: Path, name: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(out, tmp_path / "out")
    monkeypatch.setattr(write, "_made", lambda *given: Written(out / "index.html", (), "made again"))
    assert write_report(falling_table, tmp_path / "out", QUICK).prediction is None
    (tmp_path / "out" / name).write_text("other") if change == "edited" else (tmp_path / "out" / name).unlink()
    assert write_report(falling_table, tmp_path / "out", QUICK).prediction == "made again"


def test_a_report_of_another_table_options_map_or_code_is_made_again(
    falling_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = made_of.ingredients(falling_table, QUICK, {"map": None, "record": None})
    others = {made_of.ingredients(falling_table, dataclasses.replace(QUICK, seed=1), {"map": None, "record": None})}
    (tmp_path / "map.csv").write_text("a\n")
    others.add(made_of.ingredients(falling_table, QUICK, {"map": tmp_path / "map.csv", "record": None}))
    (tmp_path / "map.csv").write_text("b\n")
    others.add(made_of.ingredients(falling_table, QUICK, {"map": tmp_path / "map.csv", "record": None}))
    changed = Path(shutil.copytree(falling_table, tmp_path / falling_table.name))
    assert made_of.ingredients(changed, QUICK, {"map": None, "record": None}) == at
    (changed / "provenance.json").write_text("{}")
    others.add(made_of.ingredients(changed, QUICK, {"map": None, "record": None}))
    monkeypatch.setattr(made_of, "CODE", ("analysis/report/*.py",))
    others.add(made_of.ingredients(falling_table, QUICK, {"map": None, "record": None}))
    assert len(others | {at}) == 6


def test_the_cost_view_takes_flops_where_they_are_known_and_says_who_spends_nothing(out: Path, tmp_path: Path) -> None:
    assert "total_flops" not in (out / "cost.csv").read_text()
    folder = write_sweep(tmp_path / "table", {arm: FALLING[arm] for arm in ("SFT", "RFT")})
    runs = pd.read_parquet(folder / "runs.parquet")
    runs = runs.assign(total_flops=runs["total_seconds"] * 1e12, total_n_updates=7)
    runs.to_parquet(folder / "runs.parquet")
    write_report(folder, tmp_path / "out", dataclasses.replace(QUICK, law="power"))
    with (tmp_path / "out" / "cost.csv").open() as file:
        found = {one["cost"]: float(one["multiplier"]) for one in csv.DictReader(file)}
    assert found["total_flops"] == pytest.approx(found["total_seconds"])
    assert found["total_flops"] == pytest.approx(found["n_problems"] / 3, rel=0.02)  # an RFT problem costs three times
    assert "total_n_sampled_tokens" not in found and "total_n_updates" not in found
    assert "SFT has runs that spend none, or the same at every size" in (tmp_path / "out" / "index.html").read_text()


def test_flat_and_rising_arms_are_reported_without_a_crash(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "table", FLAT, n_problems=400)
    write_report(folder, tmp_path / "out", QUICK)
    text = (tmp_path / "out" / "index.html").read_text()
    assert "baseline_flat" in text
    rulings = {one["claim"]: one["ruling"] for one in json.loads((tmp_path / "out" / "verdicts.json").read_text())}
    assert rulings["SFT's error falls as a power of n_problems"] in ("not held", "undecided")
    assert rulings["The verifier matters (RFT)"] == "not tested"


def test_a_law_that_held_out_sizes_refute_is_said_to_be(tmp_path: Path) -> None:
    bent = {"SFT": power(30.0, 1.0, 0.2), "RFT": power(15.0, 1.0, 0.2)}
    folder = write_sweep(tmp_path / "table", bent, sizes=2.0 ** np.arange(7, 14), n_problems=2000)
    pages = {}
    for name in ("power", "power_floor"):
        write_report(folder, tmp_path / name, Options(n_draws=400, law=name))
        pages[name] = (tmp_path / name / "index.html").read_text()
        verdicts_ = json.loads((tmp_path / name / "verdicts.json").read_text())
        rulings = {one["claim"]: one["ruling"] for one in verdicts_}
        assert rulings["SFT's error falls as a power of n_problems"] == "not held"
        assert rulings["SFT's error follows a law"] == "held"
    assert "law_refuted" in pages["power"] and "law_refuted" not in pages["power_floor"]


def test_a_page_that_is_no_report_is_not_touched(falling_table: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("my home page")
    with pytest.raises(ValueError, match=r"index.html there was not written by `report`"):
        write_report(falling_table, tmp_path, QUICK)
    assert (tmp_path / "index.html").read_text() == "my home page"


def test_a_table_of_a_reports_name_is_not_replaced_by_the_report_of_it(falling_table: Path, tmp_path: Path) -> None:
    """A report has a cost.csv of its own, and the table that was given may have that name and lie there."""
    mine = tmp_path / "cost.csv"
    mine.write_bytes(b"arm,n_problems,seed,n_correct,n_test\n")
    with pytest.raises(ValueError, match=r"cost.csv there was not written by `report` .*give another folder"):
        write_report(falling_table, tmp_path, QUICK)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["cost.csv"]
    mine.unlink()
    made_of.note(tmp_path, "of before", [], None)  # a report that was killed before it had any page
    (tmp_path / "residuals.png").write_bytes(b"half")
    assert write_report(falling_table, tmp_path, QUICK).is_new


def test_a_baseline_that_is_not_there_is_refused(falling_table: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"arm 'PPO' .*did you mean DPO\?\); its arms are 'DPO', 'RFT', "):
        write_report(falling_table, tmp_path, Options(baseline="PPO", n_draws=200))


def test_a_sheet_escapes_what_latex_and_html_would_read() -> None:
    sheet = Sheet("s", "c", ("a_b", "50 %"), (("<x>", "≥ 2×"),))
    assert "a\\_b & 50 \\%" in sheet.latex() and "$\\geq$ 2$\\times$" in sheet.latex()
    assert "&lt;x&gt;" in sheet.html()
    assert sheet.csv() == "a_b,50 %\n<x>,≥ 2×\n"


@needs_chromium
def test_a_browser_shows_the_page_without_an_error(out: Path, tmp_path: Path) -> None:
    report = shown(out / "index.html", tmp_path)
    assert len(report["figures"]) >= 6 and report["tables"] > 30


@pytest.mark.parametrize(("name", "text"), [("verdicts.json", '{"mine": 1}'), ("made_of.json", "mine")])
def test_somebody_s_file_of_a_report_s_name_is_no_report(
    name: str, text: str, falling_table: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"--out {tmp_path}: {name} there was not written by `report`"):
        write.write_report(falling_table, tmp_path, QUICK)
    assert (tmp_path / name).read_text() == text
