"""The map: what each variant changed, its multipliers on known laws, and the way from CSV to figure."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_tables import write_sweep

from analysis.__main__ import main
from analysis.figures.limits import HORIZONTAL
from analysis.figures.map import gap_figure, map_figure, readable, worth_by_share
from analysis.map import read_map, survey
from analysis.options import Options
from analysis.report import of_record

SIZES = np.array([256, 512, 1024, 2048, 4096])
OPTIONS = Options(n_draws=200, of=("RFT", "per-step DPO"))


def sft(n: float) -> float:
    return 0.6 * (n / 256) ** -0.3


def folder(path: Path, worth: float, n_skips: int = 30, beta: float = 0.1, **dials: object) -> Path:
    """A sweep in which one problem of per-step DPO is worth `worth` of SFT's, with these settings, and SFT's solutions
    have n_skips skips and 10 wrong facts a seed, 50 skips at 256 problems."""
    write_sweep(path, {"SFT": sft, "RFT": sft, "per-step DPO": lambda n: sft(worth * n)}, SIZES, n_problems=4000)
    runs = pd.read_parquet(path / "runs.parquet")
    runs["config"] = [
        json.dumps({"dataset": dials, "n_problems": int(n), "method": {"name": method, "beta": beta}})
        for n, method in zip(runs.n_problems, runs.method, strict=True)
    ]
    runs["diagnosis"] = [
        json.dumps({"hard skip": n_skips + 20 * (n == 256), "wrong fact": 10} if arm == "SFT" else {"easy skip": 1})
        for n, arm in zip(runs.n_problems, runs.arm, strict=True)
    ]
    runs.to_parquet(path / "runs.parquet")
    return path


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("map")
    return [
        folder(root / "study", 2.0, skip=0.8, classes=6, phases=[{"lr": 1}]),
        folder(root / "no_shortcut", 1.0, skip=0.0, classes=6, phases=[{"lr": 1}]),
        folder(root / "value_answers", 4.0, skip=0.8, classes=None, phases=[{"lr": 2}]),
    ]


def without_baseline_at(size: int, table: Path, path: Path) -> Path:
    """A copy of the table in which SFT has no runs at this size."""
    shutil.copytree(table, path)
    runs = pd.read_parquet(path / "runs.parquet")
    gone = (runs["arm"] == "SFT") & (runs["n_problems"] == size)
    runs[~gone].to_parquet(path / "runs.parquet")
    outcomes = pd.read_parquet(path / "outcomes.parquet")
    outcomes[~outcomes["run"].isin(runs.loc[gone, "run"])].to_parquet(path / "outcomes.parquet")
    return path


def test_a_variant_is_named_by_the_settings_in_which_it_differs(tables: list[Path]) -> None:
    readings = survey(tables, OPTIONS, sizes=[256])
    assert dict.fromkeys((one.variant, one.changed) for one in readings) == dict.fromkeys(
        [("study", ""), ("no_shortcut", "skip=0"), ("value_answers", "classes=none, another phases")]
    )


def at_rates(path: Path, lr: float) -> Path:
    """The table's runs at another learning rate."""
    runs = pd.read_parquet(path / "runs.parquet")
    runs["config"] = [json.dumps({**json.loads(text), "sft": {"lr": lr}}) for text in runs["config"]]
    runs.to_parquet(path / "runs.parquet")
    return path


def test_a_rate_that_was_tuned_anew_is_the_ingredient_only_where_nothing_else_differs(tmp_path: Path) -> None:
    names = [("study", 0.8, 0.001), ("no_shortcut", 0.0, 0.003), ("fast", 0.8, 0.01)]
    tables = [at_rates(folder(tmp_path / name, 2.0, skip=skip), lr) for name, skip, lr in names]
    found = {one.variant: one.changed for one in survey(tables, OPTIONS, sizes=[256])}
    assert found == {"study": "", "no_shortcut": "skip=0", "fast": "lr=0.01"}


def test_what_an_older_program_did_not_write_down_is_no_ingredient_beside_one_that_it_did(tmp_path: Path) -> None:
    study = folder(tmp_path / "study", 2.0, skip=0.8)
    newer = [
        folder(tmp_path / "no_shortcut", 2.0, skip=0.0, n_new=3),
        folder(tmp_path / "new_one", 2.0, skip=0.8, n_new=3),
    ]
    found = {one.variant: one.changed for one in survey([study, *newer], OPTIONS, sizes=[256])}
    assert found == {"study": "", "no_shortcut": "skip=0", "new_one": "n_new=3"}


def test_variants_of_one_bound_stand_by_their_intervals_and_then_by_the_error_left() -> None:
    rows = [
        ("a", "=", 9.0, 2.0, 0.1),
        ("b", ">=", 8.0, 3.0, 0.1),
        ("c", ">=", 8.0, 8.0, 0.1),
        ("d", ">=", 8.0, 8.0, 0.2),
    ]
    points = pd.DataFrame(rows, columns=["variant", "bound", "multiplier", "ci_low", "error"])
    points = points.assign(arm="RFT", baseline="SFT", n_problems=512.0, baseline_error=0.3, ci_high=np.inf)
    (axes,) = map_figure(points).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "d", "c", "a"]


def test_each_variant_has_its_own_multiplier_and_its_arms_errors(tables: list[Path]) -> None:
    found = {one.variant: one for one in survey(tables, OPTIONS, sizes=[512]) if one.multiplier.arm != "RFT"}
    for name, worth in (("study", 2.0), ("no_shortcut", 1.0), ("value_answers", 4.0)):
        m = found[name].multiplier
        assert m.ci_low < worth < m.ci_high
        assert np.log(m.ci_high / m.ci_low) < 1.0
        assert found[name].baseline_error == pytest.approx(sft(512), abs=0.03)
        assert found[name].error == pytest.approx(sft(512 * worth), abs=0.03)
        assert found[name].n_seeds == 2
        gap, low, high = found[name].gap
        assert gap == pytest.approx(found[name].error - found[name].baseline_error)
        assert low < sft(512 * worth) - sft(512) < high and high - low < 0.08


def with_errors(path: Path, by_seed: dict[str, list[float]]) -> Path:
    """The table with these errors of each arm's seeds at 512 problems, of 4,000 problems."""
    runs = pd.read_parquet(path / "runs.parquet")
    outcomes = pd.read_parquet(path / "outcomes.parquet")
    for run in runs[runs["n_problems"] == 512].itertuples():
        n_wrong = round(by_seed[run.arm][run.seed] * 4000)
        mine = outcomes["run"] == run.run
        outcomes.loc[mine, "is_correct"] = np.arange(4000) >= n_wrong
        runs.loc[runs["run"] == run.run, "n_correct"] = 4000 - n_wrong
    runs.to_parquet(path / "runs.parquet")
    outcomes.to_parquet(path / "outcomes.parquet")
    return path


def test_what_an_ingredient_moves_is_the_gap_less_the_studys_of_the_same_seeds(tmp_path: Path) -> None:
    """Gaps of RFT -.04 and -.06 in the study, -.01 and -.05 in the variant: moved by .03 and .01, .02 +- .01 t(1)."""
    study = with_errors(
        folder(tmp_path / "study", 2.0), {"SFT": [0.4, 0.5], "RFT": [0.36, 0.44], "per-step DPO": [0.3, 0.3]}
    )
    other = with_errors(
        folder(tmp_path / "other", 2.0, beta=0.2), {"SFT": [0.3, 0.3], "RFT": [0.29, 0.25], "per-step DPO": [0.3, 0.3]}
    )
    found = {one.variant: one for one in survey([study, other], OPTIONS, sizes=[512]) if one.multiplier.arm == "RFT"}
    assert np.isnan(found["study"].moved).all()
    assert found["other"].gap[0] == pytest.approx(-0.03)
    assert found["other"].moved == pytest.approx((0.02, 0.02 - 0.01 * 12.706, 0.02 + 0.01 * 12.706), abs=1e-4)


def test_the_gaps_are_drawn_in_the_order_of_the_worths_with_their_intervals() -> None:
    rows = [("a", 2.0, -0.05, -0.08, -0.02), ("b", 4.0, -0.02, -0.03, 0.01)]
    points = pd.DataFrame(rows, columns=["variant", "multiplier", "gap", "gap_low", "gap_high"])
    points = points.assign(arm="RFT", baseline="SFT", n_problems=512.0, bound="=", ci_low=1.0, ci_high=9.0)
    points = points.assign(error=0.2, baseline_error=0.3)
    (axes,) = gap_figure(points).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    lines = {tuple(line.get_xdata()): set(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) == 2}
    assert lines[-0.08, -0.02] == {0.0} and lines[-0.03, 0.01] == {1.0}


def test_a_limit_beyond_the_maps_frame_is_marked_at_its_edge() -> None:
    points = pd.DataFrame({"variant": ["a"], "arm": "RFT", "baseline": "SFT", "n_problems": 512.0, "bound": "="})
    points = points.assign(multiplier=4.0, ci_low=2.0, ci_high=np.inf, error=0.2, baseline_error=0.3)
    (axes,) = map_figure(points).axes
    edge = axes.get_xlim()[1]
    marks = {float(line.get_xdata()[0]): line.get_marker() for line in axes.lines if len(line.get_xdata()) == 1}
    assert marks == {4.0: "s", edge: HORIZONTAL[1]}
    assert (2.0, edge) in {tuple(line.get_xdata()) for line in axes.lines}


def test_the_map_is_written_and_read_back_and_drawn(
    tables: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["map", *map(str, tables), "--out", str(tmp_path), "--draws", "100", "--size", "256", "--size", "1024"]
    assert main(words) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "map.csv")
    points = read_map(tmp_path / "map.csv")
    assert len(points) == 3 * 2 * 2  # variants, arms, sizes
    names = {f"{name}.{kind}" for name in ("map", "gaps") for kind in ("png", "svg", "pdf")}
    assert {"map.csv", "map.tex", *names} == {path.name for path in tmp_path.iterdir()}
    figure = map_figure(points)
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == ["no shortcut", "study", "value answers"]  # from the least worth up


def test_the_share_of_a_kind_of_flaw_is_the_baselines_at_that_size(tables: list[Path]) -> None:
    found = survey(tables[:1], OPTIONS, share_of=["hard skip", "easy skip"])
    shares = {one.multiplier.at_size: one.share for one in found if one.multiplier.arm == "per-step DPO"}
    assert shares[256] == pytest.approx(50 / 60)
    assert shares[1024] == pytest.approx(30 / 40)
    with pytest.raises(ValueError, match=r"share of typo: no solution .* known: easy skip, hard skip, wrong fact"):
        survey(tables[:1], OPTIONS, share_of=["hard skip", "typo"])


def test_a_variant_that_leaves_the_domain_alone_is_one_of_training(tables: list[Path], tmp_path: Path) -> None:
    another = folder(tmp_path / "weak", 1.5, skip=0.8, classes=6, phases=[{"lr": 1}], beta=0.5)
    found = survey([*tables, another], OPTIONS, sizes=[256])
    assert {one.variant: (one.changed, one.is_training) for one in found if one.multiplier.arm == "RFT"} == {
        "study": ("", False),
        "no_shortcut": ("skip=0", False),
        "value_answers": ("classes=none, another phases", False),
        "weak": ("beta=0.5", True),
    }


def test_worth_is_drawn_against_the_share_and_the_report_shows_it(tables: list[Path], tmp_path: Path) -> None:
    words = ["map", *map(str, tables), "--out", str(tmp_path / "map"), "--draws", "100", "--share-of", "hard skip"]
    assert main(words) == 0
    points = read_map(tmp_path / "map" / "map.csv")
    figure = worth_by_share(points)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["RFT", "per-step DPO"]
    drawn = {float(line.get_xdata()[0]) for line in figure.axes[1].lines if line.get_marker() not in ("None", "")}
    assert {round(x, 3) for x in drawn if 0 < x < 1} == {0.833, 0.75}
    page = ["report", str(tables[0]), "--map", str(tmp_path / "map" / "map.csv"), "--draws", "100"]
    assert main([*page, "--out", str(tmp_path / "report")]) == 0
    assert (tmp_path / "report" / "worth_by_share.png").is_file()


def test_a_map_of_somebody_else_is_not_replaced(
    tables: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "map.csv").write_text("city,north\nUlm,48.4\n")
    assert main(["map", str(tables[0]), "--draws", "100", "--size", "256", "--out", str(tmp_path)]) == 2
    assert f"--out {tmp_path}: map.csv there was not written by `map`: it is not replaced" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["map.csv"]
    assert (tmp_path / "map.csv").read_text() == "city,north\nUlm,48.4\n"


@pytest.mark.parametrize("words", [["report", "t.csv"], ["map", "t.csv"], ["figures"]])
def test_an_empty_name_is_no_folder_to_write_to(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--out", ""]) == 2
    assert "argument --out: expected a file or folder, found ''; is a variable" in capsys.readouterr().err


def test_a_share_where_the_baseline_was_not_run_is_refused_before_anything_is_written(
    tables: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = without_baseline_at(512, tables[0], tmp_path / "study")
    words = ["map", str(table), "--draws", "100", "--size", "512", "--out", str(tmp_path / "map")]
    assert main([*words, "--share-of", "hard skip"]) == 2
    assert "no multiplier at n_problems=512 has it beside it, because SFT has no diagnosed" in capsys.readouterr().err
    assert not (tmp_path / "map").exists()
    assert main(words) == 0  # the map itself needs no share
    points = read_map(tmp_path / "map" / "map.csv")
    assert len(readable(points)) == 2 and readable(points, with_share=True).empty


def test_points_with_a_share_are_drawn_and_those_without_left_out_of_that_figure(
    tables: list[Path], tmp_path: Path
) -> None:
    table = without_baseline_at(512, tables[0], tmp_path / "study")
    main(["map", str(table), "--draws", "100", "--share-of", "hard skip", "--out", str(tmp_path / "map")])
    points = read_map(tmp_path / "map" / "map.csv")
    assert set(points["n_problems"]) - set(readable(points, with_share=True)["n_problems"]) == {512}
    assert (tmp_path / "map" / "worth_by_share.png").is_file()


def test_a_map_of_undefined_multipliers_alone_has_its_rows_and_no_points() -> None:
    points = pd.DataFrame(
        {"variant": ["study"], "arm": "RFT", "baseline": "SFT", "n_problems": 512.0, "multiplier": np.nan, "bound": "?"}
        | {"ci_low": np.nan, "error": 0.2, "baseline_error": 0.3}
    )
    (axes,) = map_figure(points).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["study"]
    assert axes.get_xlim() == pytest.approx((0.5 / 1.3, 16 * 1.7))


def test_the_map_is_the_first_figure_of_the_report(tables: list[Path], tmp_path: Path) -> None:
    main(["map", *map(str, tables), "--out", str(tmp_path / "map"), "--draws", "100", "--size", "256"])
    words = ["report", str(tables[0]), "--map", str(tmp_path / "map" / "map.csv"), "--draws", "100"]
    assert main([*words, "--out", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report" / "index.html").read_text()
    assert page.index('id="map"') < page.index('id="curves"')
    assert page.index("<figure") > page.index('id="map"')


def test_the_report_sets_its_verdicts_beside_those_of_a_study_of_record(tables: list[Path], tmp_path: Path) -> None:
    main(["report", str(tables[0]), "--draws", "100", "--out", str(tmp_path / "record")])
    rulings = json.loads((tmp_path / "record" / "verdicts.json").read_text())
    changed = [dict(one, ruling="not held") if "more than 1x" in one["claim"] else one for one in rulings]
    (tmp_path / "record" / "verdicts.json").write_text(json.dumps(changed))
    words = ["report", str(tables[0]), "--draws", "100", "--record", str(tmp_path / "record")]
    assert main([*words, "--out", str(tmp_path / "report")]) == 0
    rows = pd.read_csv(tmp_path / "report" / "record.csv").set_index("claim")
    assert rows.loc["per-step DPO is worth more than 1x", ["here", "of record", "agree"]].tolist() == [
        "held", "not held", "OPPOSITE",
    ]  # fmt: skip
    assert rows.loc["SFT's error falls as a power of n_problems", "agree"] == "same"
    assert 'id="table-record"' in (tmp_path / "report" / "index.html").read_text()


def test_a_record_that_is_none_is_refused(tables: list[Path], tmp_path: Path) -> None:
    (tmp_path / "verdicts.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"verdicts.json: the verdicts.json that .* writes was expected"):
        of_record.read_verdicts(tmp_path)


def test_two_rulings_agree_differ_or_one_is_undecided() -> None:
    assert of_record.agreement("held", "held") == "same"
    assert of_record.agreement("held", "not held") == "OPPOSITE"
    assert of_record.agreement("undecided", "held") == "undecided here"
    assert of_record.agreement("not held", "undecided") == "undecided in the record"


def test_folders_of_one_name_a_size_nobody_ran_and_another_csv_are_refused(tables: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="study: variants are named by their folders, and two folders have one name"):
        survey([tables[0], tmp_path / "study"], OPTIONS)
    twice = survey([tables[0], *tables], OPTIONS, sizes=[256])
    assert [one.variant for one in twice] == [path.name for path in tables for _ in OPTIONS.of]
    with pytest.raises(ValueError, match="no arm has runs at 300; name sizes that were run"):
        survey(tables[:1], OPTIONS, sizes=[300])
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"a map.csv of .* was expected; it has no variant, changed"):
        read_map(tmp_path / "other.csv")
