"""The command line: what each command prints, its JSON, and how it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from analysis_tables import SIZES, long_frame, outcomes, write_sweep
from simulated_tables import power

from analysis import commands, published
from analysis.__main__ import main
from analysis.notes import CODES, Note, note, sorted_notes
from analysis.options import Options

ROOT = Path(__file__).parents[1]
LAWS = {"SFT": power(1.0, 0.15), "RFT": power(2**-0.15, 0.15)}
KEYS = {
    "arm",
    "baseline",
    "at_error",
    "multiplier",
    "ci_low",
    "ci_high",
    "level",
    "kind",
    "method",
    "status",
    "frac_censored",
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("cli") / "outcomes.parquet"
    long_frame(outcomes(LAWS, n_problems=400)).to_parquet(path)
    return str(path)


def said(capsys: pytest.CaptureFixture, *words: str) -> str:
    assert main([*words, *(["--draws", "200"] if "published" not in words else [])]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture, *words: str) -> str:
    assert main(list(words)) == 2
    text = capsys.readouterr()
    assert text.out == "" and "Traceback" not in text.err and text.err.count("\n") == 1
    return text.err


def test_multiplier_as_one_object(path: str, capsys: pytest.CaptureFixture) -> None:
    found = json.loads(said(capsys, "multiplier", path, "--json"))
    assert set(found) >= KEYS
    assert found["arm"] == "RFT" and found["baseline"] == "SFT" and found["kind"] == "interior"
    assert found["ci_low"] < found["multiplier"] < found["ci_high"]
    assert found["shape"]["fieller"]["kind"] == "interval"
    assert len(found["curve"]["errors"]) == len(found["curve"]["simultaneous"]) == 33


def test_the_options_reach_the_engine(path: str, capsys: pytest.CaptureFixture) -> None:
    at_error = json.loads(said(capsys, "multiplier", path, "--json", "--at-error", "0.3", "--law", "power"))
    assert at_error["at_error"] == 0.3 and at_error["law"] == "power"
    at_size = json.loads(said(capsys, "multiplier", path, "--json", "--at-size", "512", "--level", "0.8"))
    assert at_size["at_size"] == 512 and at_size["level"] == 0.8
    back = json.loads(said(capsys, "multiplier", path, "--json", "--baseline", "RFT"))
    assert back["arm"] == "SFT" and back["multiplier"] < 1
    other = json.loads(said(capsys, "multiplier", path, "--json", "--seed", "3"))
    assert other["ci_low"] != json.loads(said(capsys, "multiplier", path, "--json"))["ci_low"]


def test_an_unbounded_limit_is_null(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    far = tmp_path / "far.parquet"
    long_frame(outcomes({"SFT": power(0.9, 0.05), "RFT": power(0.12, 0.1)}, n_problems=300)).to_parquet(far)
    found = json.loads(said(capsys, "multiplier", str(far), "--json"))
    assert found["bound"] == ">=" and found["ci_high"] is None and found["multiplier"] == pytest.approx(64)
    assert {"code", "severity", "text"} <= set(found["notes"][0])
    assert "≥ 64×" in said(capsys, "multiplier", str(far))


def test_fit_prints_named_parameters(path: str, capsys: pytest.CaptureFixture) -> None:
    found = json.loads(said(capsys, "fit", path, "--json"))["fits"]
    assert [(one["arm"], one["law"]) for one in found] == [
        ("RFT", "power"),
        ("RFT", "power_floor"),
        ("SFT", "power"),
        ("SFT", "power_floor"),
    ]
    assert found[0]["params"]["b"] == pytest.approx(0.15, abs=0.05)
    assert found[0]["status"] in ("converged", "at_bound")
    shared = json.loads(said(capsys, "fit", path, "--json", "--law", "power_floor_shared"))
    assert shared["arms"] == ["RFT", "SFT"] and {"b", "floor"} <= set(shared["params"])
    text = said(capsys, "fit", path, "--law", "power")
    assert "error_at_ref = " in text and "n_ref: geometric middle of the sizes" in text and "\nfloor: " not in text


def test_fit_says_which_law_multiplier_reads(path: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (m,) = commands.multipliers(path, Options(n_draws=200, of=("RFT",)))
    found = json.loads(said(capsys, "fit", path, "--json"))["fits"]
    assert m.multiplier.form == "law and local"
    assert {(one["arm"], one["law"]): one["read_for"] for one in found if one["read_for"]} == {
        ("RFT", m.multiplier.law): ["RFT"],
        ("SFT", m.multiplier.law): ["RFT"],
    }
    assert all(one["refuted_for"] == [] for one in found)
    text = said(capsys, "fit", path)
    at = text.index(f"SFT, {m.multiplier.law}: ")
    assert text[at:].splitlines()[1] == "  multiplier of RFT: read by this law and by a curve without one"
    assert text.count("read by this law") == 2
    assert "read by" not in said(capsys, "fit", path, "--baseline", "nobody")


def test_fit_says_where_multiplier_reads_no_law(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    def bent(worth: float) -> Callable[[float], float]:
        return lambda n: 0.2 + 0.3 / (1 + (worth * n / 1000) ** 3)

    frame = long_frame(outcomes({"SFT": bent(1), "RFT": bent(2)}, n_problems=2000))
    frame.to_parquet(tmp_path / "t.parquet")
    table = str(tmp_path / "t.parquet")
    (m,) = commands.multipliers(table, Options(n_draws=200))
    assert m.multiplier.form == "local"
    found = json.loads(said(capsys, "fit", table, "--json"))["fits"]
    told = {(one["arm"], one["law"]): one["refuted_for"] for one in found if one["refuted_for"]}
    assert told == {("RFT", m.multiplier.law): ["RFT"], ("SFT", m.multiplier.law): ["RFT"]}
    assert all(one["read_for"] == [] for one in found)
    assert said(capsys, "fit", table).count("read without a law, as residuals refute this one") == 2


def test_the_lines_of_a_multiplier_say_what_they_are(path: str, capsys: pytest.CaptureFixture) -> None:
    text = said(capsys, "multiplier", path, "--of", "RFT")
    assert "\n  by the law alone, without resampling: [" in text
    (last,) = [line for line in text.splitlines() if line.startswith("  95% interval: ")]
    assert last.endswith("% of the resamples; fits of both: at a limit of floor or slope")


def test_fit_of_the_two_variable_law(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rng = np.random.default_rng(0)
    size, tokens = 10 ** rng.uniform(8, 10, 40), 10 ** rng.uniform(9, 11, 40)
    loss = 1.8 + 400 / size**0.34 + 400 / tokens**0.28
    path = tmp_path / "losses.csv"
    pd.DataFrame({"n_params": size, "n_tokens": tokens, "loss": loss}).to_csv(path, index=False)
    found = json.loads(said(capsys, "fit", str(path), "--law", "chinchilla", "--objective", "least_squares", "--json"))
    assert found["params"]["alpha"] == pytest.approx(0.34, abs=1e-5)
    assert "least squares on the loss" in found["objective_name"]


def test_design_validate_and_report(path: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    plans = json.loads(said(capsys, "design", path, "--width", "1.1", "--json"))["plans"]
    assert plans[0]["options"][0]["overrides"] or plans[0]["options"][0]["n_new_runs"] == 0
    assert "new runs" in said(capsys, "design", path, "--width", "1.1")
    scores = json.loads(said(capsys, "validate", path, "--json"))
    assert {one["law"] for one in scores["scores"]} == {"power", "power_floor", "log_linear"}
    assert "RMSLE" in said(capsys, "validate", path)
    assert said(capsys, "report", path, "--out", str(tmp_path / "out")).strip().endswith("index.html")


def test_the_compute_multiplier_is_another_number(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = str(write_sweep(tmp_path / "table", LAWS, SIZES[:5]))
    data = json.loads(said(capsys, "multiplier", folder, "--json", "--law", "power"))
    cost = json.loads(said(capsys, "multiplier", folder, "--json", "--law", "power", "--cost", "total_seconds"))
    # an RFT problem costs three times an SFT problem there
    assert cost["multiplier"] == pytest.approx(data["multiplier"] / 3, rel=0.02)


def test_user_mistakes_end_in_one_paragraph(path: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert "no such file" in refused(capsys, "multiplier", str(tmp_path / "none.csv"))
    assert "baseline 'PPO' is not in the table; its arms are RFT, SFT" in refused(
        capsys, "multiplier", path, "--baseline", "PPO"
    )
    assert "COLUMN=VALUE was expected" in refused(capsys, "fit", path, "--where", "split")
    assert "law 'cubic' is unknown" in refused(capsys, "fit", path, "--law", "cubic")
    assert "n_draws=10" in refused(capsys, "multiplier", path, "--draws", "10")
    assert "its arms are RFT, SFT" in refused(capsys, "multiplier", path, "--of", "DPO")
    one = tmp_path / "one.csv"
    pd.DataFrame({"arm": ["SFT"], "n_problems": [8], "seed": [0], "n_correct": [3], "n_test": [9]}).to_csv(one)
    assert "SFT is the only arm" in refused(capsys, "multiplier", str(one))
    assert "a power law needs 3 sizes or more, found SFT 1" in refused(capsys, "fit", str(one))


def test_results_are_frozen_and_typed(path: str) -> None:
    (found,) = commands.multipliers(path, Options(n_draws=200))
    with pytest.raises(AttributeError):
        found.multiplier.multiplier = 3.0
    assert commands.held_out(path, Options(n_draws=200)).is_choice_feasible
    assert commands.what_next(path, Options(n_draws=200))[0].arm == "RFT"


def test_notes_have_codes_and_severities() -> None:
    assert note("bad_fit", "x").as_dict() == {"code": "bad_fit", "text": "x", "severity": "warning"}
    with pytest.raises(KeyError, match="note code 'odd' is unknown; the codes are one_seed"):
        note("odd", "x")
    mixed = [note("few_seeds", "a"), note("no_overlap", "b"), note("few_seeds", "a")]
    assert [one.code for one in sorted_notes(mixed)] == ["no_overlap", "few_seeds"]
    assert set(CODES.values()) == {"info", "warning", "serious"} and isinstance(mixed[0], Note)


def test_published_exponents_are_reproduced(capsys: pytest.CaptureFixture) -> None:
    found = published.implications(n_draws=200)
    log_log = {(one.source, one.column): round(one.log_log, 3) for one in found.exponents}
    yuan = {
        "llama_7b": -0.100,
        "llama2_7b": -0.113,
        "llama_13b": -0.138,
        "llama2_13b": -0.141,
        "llama_33b": -0.151,
        "llama_65b": -0.157,
        "llama2_70b": -0.164,
    }
    assert {model: log_log["Yuan SFT", model] for model in yuan} == yuan
    assert log_log["Xwin synthetic", "gsm8k to 7.5k"] == -0.190
    assert log_log["Xwin synthetic", "gsm8k with all"] == -0.214
    assert log_log["Xwin synthetic", "math to 7.5k"] == -0.020
    assert log_log["Xwin synthetic", "math with all"] == -0.082
    all_gsm8k = next(one for one in found.exponents if one.column == "gsm8k with all")
    assert round(all_gsm8k.r2, 3) == 0.998
    objections = {one.column: [note.code for note in one.objections] for one in found.exponents}
    assert "bad_fit" in objections["math with all"]
    assert objections["gsm8k with all"] == []
    assert {arm.arm for _, arm in found.rft_over_sft} == {"RFT k100", "RFT u33b"}
    assert all(m.bound in ("=", ">=") for _, m in found.rft_over_sft)
    assert main(["published", "--draws", "200"]) == 0
    assert "one training run a cell" in capsys.readouterr().out
    assert main(["published", "--draws", "200", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["caveats"]


def command(*words: str, **streams: Any) -> subprocess.Popen[bytes]:
    """The real command where nothing says that text is UTF-8."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    return subprocess.Popen([sys.executable, "-m", "analysis", *words], cwd=ROOT, env=environment, **streams)


def test_output_is_utf_8_in_every_locale(path: str) -> None:
    said = command("multiplier", path, "--draws", "100", stdout=subprocess.PIPE).communicate()[0].decode()
    assert "RFT over SFT: " in said and "×" in said


def test_a_reader_that_has_seen_enough_and_a_file_that_cannot_be_written_are_no_traceback(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = command("multiplier", path, "--draws", "100", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == (b"", 0)
    (tmp_path / "figures" / "error_against_n_problems.png").mkdir(parents=True)
    (tmp_path / "figures" / "error_against_n_problems.png" / "error_against_n_problems.png").mkdir()
    (tmp_path / "figures" / "verdicts.json").write_text("[]")
    assert main(["report", path, "--draws", "100", "--out", f"{tmp_path}/figures"]) == 2
    assert f"error: {tmp_path}/figures/error_against_n_problems.png" in capsys.readouterr().err
