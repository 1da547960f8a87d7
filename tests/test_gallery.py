"""The gallery: its registry, what it writes of a table, and what it says where there is none."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from browser import needs_chromium, shown
from tiny_sweep import GRID, planned

from analysis.__main__ import main
from analysis.claims.verdicts import difference
from analysis.gallery import runs_of, write
from analysis.gallery.entries import FRESH, FULL, QUICK, Runs
from analysis.gallery.registry import FIGURES
from analysis.gallery.runs_of import plan_text, table_of
from analysis.gallery.shifts import curves_of
from analysis.gallery.write import write_gallery
from analysis.worth.words import error_text, multiplier_text
from sweep.arms import ARMS
from sweep.plan import flow, summary

ROOT = Path(__file__).parents[1]

CONF = Path(__file__).parents[1] / "conf/experiment"
RECORD = Path(__file__).parents[1] / "analysis/results"
FEW = 200  # draws


@pytest.fixture(scope="module")
def out(falling_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery")
    write_gallery(folder, only=["sft_and_rft"], tables={"study": falling_table}, n_draws=FEW)
    return folder


def test_every_figure_has_a_name_of_its_own_and_its_experiment_a_file() -> None:
    assert len({one.name for one in FIGURES}) == len(FIGURES)
    for one in FIGURES:
        assert one.needs or (one.view and (one.plans or one.runs)), one.name
        if one.runs and one.runs.is_sweep:
            assert (CONF / f"{one.runs.name}.yaml").is_file()
            assert all((CONF / f"{name}.yaml").is_file() or (RECORD / name).is_dir() for name in one.runs.others)


def test_a_figure_is_written_as_pdf_picture_data_and_caption(out: Path) -> None:
    assert (out / "sft_and_rft.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (out / "sft_and_rft.svg").read_text()
    data = pd.read_csv(out / "sft_and_rft.csv")
    assert set(data["arm"]) == {"SFT", "RFT"} and len(data) == 8
    assert (data["error_low"] <= data["error"]).all() and (data["error"] <= data["error_high"]).all()


def test_the_pdf_is_as_wide_as_two_columns_and_its_letters_are_true_type(out: Path) -> None:
    raw = (out / "sft_and_rft.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[ 0 0 (\S+) (\S+) \]", raw)
    assert box and float(box[1]) == 6.75 * 72
    streams = [
        zlib.decompress(one) for one in re.findall(rb"stream\n(.*?)\nendstream", raw, re.DOTALL) if one[:1] == b"x"
    ]
    assert "<!-- RFT -->" in (out / "sft_and_rft.svg").read_text()  # a name is text, not a drawing
    assert b"/CIDFontType2" in raw + b"".join(streams) and b"/Type3" not in raw


def test_the_caption_states_the_shift_the_ruling_and_their_numbers(falling_table: Path, out: Path) -> None:
    view = next(one.view for one in FIGURES if one.name == "sft_and_rft")
    assert view is not None
    evidence = view.read(falling_table, FEW)
    (m,) = evidence.shifts(["RFT"])
    text = (out / "sft_and_rft.txt").read_text()
    assert f"RFT: worth {multiplier_text(m)} at error" in text
    ruling = evidence.rulings["RFT is worth 2x SFT's data"]
    assert f"“RFT is worth 2x SFT's data”: {ruling.ruling}" in text and ruling.evidence in text
    assert float(pd.read_csv(out / "sft_and_rft.csv").query("arm == 'RFT'")["multiplier"].iloc[0]) == m.multiplier


def test_differences_in_the_data_are_the_arm_s_error_less_the_baseline_s(out: Path) -> None:
    data = pd.read_csv(out / "sft_and_rft.csv").pivot(index="n_problems", columns="arm")
    found = (data["error"]["RFT"] - data["error"]["SFT"]).tolist()
    assert data["difference"]["RFT"].tolist() == pytest.approx(found)
    assert data["difference"]["SFT"].isna().all()


@needs_chromium
def test_a_browser_shows_the_gallery_without_an_error(out: Path, tmp_path: Path) -> None:
    assert len(shown(out / "index.html", tmp_path)["figures"]) == 1


def test_a_figure_without_runs_shows_its_commands_and_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = {
        "runs": 120, "stages": 411, "to_build": 411, "seconds": 0, "n_without_estimate": 411, "n_workers": 2,
        "by_kind": {"base": 1, "train": 410},
    }  # fmt: skip
    monkeypatch.setattr(write, "planned", lambda words: told)
    written = write_gallery(tmp_path / "out", only=["star_graph"], scale=FRESH)
    text = (tmp_path / "out/index.html").read_text()
    assert written == [tmp_path / "out/index.html"] and "<figure" not in text
    assert "python -m sweep -m experiment=fresh_star_graph" in text and "120 runs = 411 stages" in text
    assert "collect -m experiment=fresh_star_graph --by sft.passes --finished" in text


def test_problems_of_two_kinds_in_a_grid_have_replicates_of_their_own_at_scale_fresh_too() -> None:
    """A table has one run a cell; and where the command line names replicates, a part with its own is left out."""
    for runs in [one.runs for one in FIGURES if one.runs and one.runs.is_sweep]:
        name = runs.experiment(FRESH)
        grid = yaml.safe_load((ROOT / f"conf/experiment/{name}.yaml").read_text())["hydra"]["sweeper"]
        for more in grid.get("also", []):
            assert ("replicate" in more) == ("dataset" in more), name
            assert "replicate" not in more or runs.grid(FRESH) == [f"experiment={name}"], name


def test_one_s_own_table_comes_before_the_record_s_and_a_given_one_before_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs_of, "PROJECT", tmp_path / "project")
    runs = Runs("study", others=("reproduce",))
    assert table_of(runs, {}) is None
    for place in ("project/analysis/results/study", "outputs/reproduce/table", "outputs/study/table", "given"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "runs.parquet").write_text("")
        found = table_of(runs, {"study": Path("given")} if place == "given" else {})
        assert found is not None and found.resolve() == tmp_path / place


def test_at_scale_fresh_no_table_of_record_is_read_and_the_study_is_run_at_the_sizes_of_reproduce(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (study,) = {one.runs for one in FIGURES if one.runs and one.runs.name == "study"}
    assert table_of(study, {}, FULL) is not None and table_of(study, {}, FRESH) is None
    told = write.commands(scale=FRESH)
    grid = "experiment=reproduce replicate=1,2,3"
    assert told[:2] == [f"python -m sweep -m {grid}", f"python -m sweep collect -m {grid}"]
    width_48 = "experiment=model_sizes replicate=1,2,3 model=tiny_llama_48 --out outputs/model_sizes/table/48"
    assert f"python -m sweep collect -m {width_48}" in told
    assert "python -m sweep -m experiment=fresh_star_graph || test $? = 3" in told  # a run of it may be impossible
    assert {one.runs.experiment(FRESH) for one in FIGURES if one.runs and one.runs.is_sweep} == {
        word.removeprefix("experiment=") for line in told for word in line.split() if word.startswith("experiment=")
    }
    (tmp_path / "outputs/reproduce/table").mkdir(parents=True)
    (tmp_path / "outputs/reproduce/table/runs.parquet").write_text("")
    assert table_of(study, {}, FRESH) == Path("outputs/reproduce/table") and table_of(study, {}, QUICK) is None
    assert not any("reproduce" in line for line in write.commands(scale=FRESH))


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"to_build": 4, "n_without_estimate": 4, "seconds": 0}, "no estimate of the time"),
        (  # 2 x 167.0 + 40 x 12.3 + 80 x 3.4 = 1098 seconds, on two cores 9.15 minutes
            {
                "to_build": 122,
                "stages": 122,
                "n_without_estimate": 122,
                "seconds": 0,
                "by_kind": {"base": 2, "train": 40, "evaluate": 80},
            },
            "about 9 min on 2 CPU cores, if a stage takes as long as one of its kind in the study",
        ),
        (  # a kind that the study has no stage of
            {
                "to_build": 2,
                "stages": 2,
                "n_without_estimate": 2,
                "seconds": 0,
                "by_kind": {"base": 1, "unheard_of": 1},
            },
            "in the study; stages of the kind unheard_of not counted",
        ),
        ({"to_build": 4, "n_without_estimate": 1, "seconds": 600}, "5 min on 2 workers, and 1 stages of which none"),
        ({"to_build": 0, "n_without_estimate": 0, "seconds": 0}, "0 to build; estimated 0 min"),
    ],
)
def test_a_plan_is_told_in_a_sentence(plan: dict[str, Any], said: str) -> None:
    assert said in plan_text({"runs": 2, "stages": 9, "n_workers": 2, **plan})


def test_mistakes_end_in_one_paragraph(falling_table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*words: str) -> str:
        assert main(["figures", "--out", str(tmp_path), *words]) == 2
        return capsys.readouterr().err

    assert "--only no: no such figure; the figures are flow" in refused("--only", "no")
    assert "--table study: EXPERIMENT=FOLDER was expected" in refused("--table", "study")
    assert "--table odd=...: no figure reads it" in refused("--table", f"odd={falling_table}")
    assert "expected a folder with runs.parquet" in refused("--table", f"study={tmp_path}", "--only", "negatives")
    said = refused("--table", f"study={falling_table}", "--only", "negatives")
    assert "found no DPO, distant pairs; give a table with them" in said


def test_a_figure_that_cannot_be_drawn_costs_no_other(
    falling_table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--only", "negatives", "--only", "sft_and_rft", "--table", f"study={falling_table}", "--draws", str(FEW)]
    assert main(["figures", "--out", str(tmp_path), *words]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: 1 of 2 figures cannot be drawn, negatives: ") and told.out == ""
    assert told.err.endswith(f"with these arms; what can be drawn is in {tmp_path}/index.html\n")
    text = (tmp_path / "index.html").read_text()
    assert text.count("<figure") == 1 and "Not drawn: " in text and (tmp_path / "sft_and_rft.csv").is_file()


def test_a_plan_that_cannot_be_made_costs_no_other_figure(
    falling_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(words: object) -> None:
        raise ValueError("no plan")

    monkeypatch.setattr(write, "planned", refused)
    with pytest.raises(ValueError, match=r"1 of 2 figures cannot be drawn, flow: no plan; what can be drawn is in"):
        write_gallery(tmp_path, only=["flow", "sft_and_rft"], tables={"study": falling_table}, n_draws=FEW)
    assert (tmp_path / "sft_and_rft.csv").is_file()


def test_among_all_figures_one_whose_table_lacks_an_arm_says_so_in_its_place(
    falling_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = ("sft_and_rft", "negatives")
    monkeypatch.setattr(write, "FIGURES", tuple(one for one in FIGURES if one.name in named))
    write_gallery(tmp_path, tables={"study": falling_table}, n_draws=FEW)
    text = (tmp_path / "index.html").read_text()
    assert text.count("<figure") == 1 and "Not drawn: " in text and "found no DPO, distant pairs" in text


def test_a_page_that_is_no_gallery_is_not_replaced_and_one_that_is_is(
    out: Path, falling_table: Path, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("my home page")
    with pytest.raises(ValueError, match=r"index.html there was not written by `figures`: it is not replaced"):
        write_gallery(tmp_path, only=["likelihood_under_base"])
    (tmp_path / "index.html").rename(tmp_path / "home.html")
    (tmp_path / "likelihood_under_base.csv").write_text("my own")  # which may be the very table that is to be drawn
    with pytest.raises(ValueError, match=r"likelihood_under_base.csv there was not written by `figures`"):
        write_gallery(tmp_path, only=["likelihood_under_base"])
    assert (tmp_path / "likelihood_under_base.csv").read_text() == "my own"
    (tmp_path / "index.html").write_text((out / "index.html").read_text())
    write_gallery(tmp_path, only=["likelihood_under_base"])
    assert "my home page" not in (tmp_path / "index.html").read_text()


def test_a_plan_that_fails_is_reported_with_what_it_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"plan -m experiment=none: .*experiment/none"):
        runs_of.planned(["experiment=none"])


def test_the_flow_is_drawn_of_a_plan_and_its_data_are_its_edges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(*GRID)
    told = json.loads(json.dumps({**summary(plan, {}), "flow": flow(plan)}))
    monkeypatch.setattr(write, "planned", lambda words: told)
    write_gallery(tmp_path, only=["flow"])
    edges = {tuple(row) for row in pd.read_csv(tmp_path / "flow.csv")[["from", "to"]].to_numpy()}
    steps = {("advantages", "step pairs"), ("step pairs", "per-step DPO"), ("samples", "pairs"), ("pairs", "DPO")}
    assert {("dsyn", "sft"), ("base", "RFT"), ("DPO", "evaluate")} | steps <= edges
    assert not {("advantages", "DPO"), ("advantages", "pairs")} & edges  # standard DPO does without rollouts
    shared = "12 runs (`experiment=study arm=sft,rft,dpo,step_dpo`) share 35 stages; without sharing they would be 76"
    assert shared in (tmp_path / "flow.txt").read_text()


def test_the_claims_that_captions_state_are_those_of_the_rules() -> None:
    claims = {claim.text for arm in ARMS for claim in arm.claims}
    curves = [getattr(one.view.caption, "__self__", None) for one in FIGURES if one.view]
    stated = {claim for one in curves for claim in getattr(one, "claims", ())}
    assert stated
    assert {claim for claim in stated if "beat" in claim} <= claims


def test_a_claim_of_one_figure_alone_is_ruled_as_one_arm_better_than_another_is(falling_table: Path) -> None:
    view = curves_of("RFT", names={"RFT": "cloned"}, better={"RFT beats SFT": ("RFT", "SFT")})
    evidence = view.read(falling_table, FEW)
    gap = difference(evidence.comparison, "RFT", "SFT")
    assert gap is not None and gap.ci_high < 0
    assert f"“cloned beats SFT”: held (cloned minus SFT: {error_text(gap.value)} [" in view.caption(evidence)


def test_every_figure_of_record_has_a_verdict_but_the_flow_of_data() -> None:
    _, *sections = (ROOT / "docs/gallery.md").read_text(encoding="utf-8").split("\n## ")
    is_ruled = re.compile(r"“[^”]+”[^“]*\b(held|undecided)\b").search
    without = [text.splitlines()[0] for text in sections if not is_ruled(text)]
    assert len(sections) == len(FIGURES) and without == ["Figure 1: flow"]
