"""Evaluations as lm-evaluation-harness logs them, read back by our own reader of its logs and held against its file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from tiny_sweep import GRID, Sweep, tiny

from analysis.__main__ import main as analysis
from sweep.__main__ import main
from sweep.commands.export import refuse_one_name
from sweep.data.domain import Domain
from sweep.data.records import Problem
from sweep.lm_eval import results, sample_lines
from sweep.manifest import Manifest
from sweep.results import point_of

LOGS = Path(__file__).parent / "fixtures" / "logs"


class Two:
    """Two test problems."""

    def problems(self, split: str) -> list[Problem]:
        return [Problem(f"{split}-{k}", f"{k} + {k}?", str(2 * k)) for k in (1, 2)]

    def prompt(self, problem: Problem) -> str:
        return f"Q: {problem.question}"


DOMAIN: Domain = Two()  # type: ignore[assignment]
MANIFEST = Manifest(
    key="evaluate-0123456789abcdef",
    kind="evaluate",
    version=1,
    identity={"dataset": {"name": "my set"}, "evaluation": {"split": "test"}, "max_solution_tokens": 24},
    parents={"policy": "sft-0123456789abcdef"},
    files={},
    facts={},
    cost=None,  # type: ignore[arg-type]
    provenance={"ended": "2026-11-28T10:03:06+00:00", "git": {"commit": "abc"}},
)


def outcomes(*rows: tuple[str, bool, int, int, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["problem_id", "is_correct", "n_correct_sampled", "n_sampled", "solution"])


def test_a_problem_is_a_line_and_the_means_have_their_standard_errors() -> None:
    lines = list(sample_lines(MANIFEST, DOMAIN, outcomes(("test-2", True, 1, 4, "is 4"), ("test-1", False, 3, 4, "3"))))
    assert [line["doc"]["question"] for line in lines] == ["2 + 2?", "1 + 1?"]
    assert (lines[0]["target"], lines[0]["resps"], lines[0]["exact_match"], lines[0]["sampled_match"]) == (
        "4", [["is 4"]], 1.0, 0.25,
    )  # fmt: skip
    assert lines[0]["arguments"]["gen_args_0"]["arg_0"] == "Q: 2 + 2?"
    told = results(MANIFEST, "SFT", lines)["results"]["my_set_test"]
    # of 1 and 0: mean 1/2, sd sqrt(1/2), so sqrt(1/2 / 2) = 1/2; of 1/4 and 3/4: mean 1/2, sd sqrt(1/8), so 1/4
    assert told["exact_match,none"] == 0.5 and told["exact_match_stderr,none"] == pytest.approx(0.5)
    assert told["sampled_match,none"] == 0.5 and told["sampled_match_stderr,none"] == pytest.approx(0.25)


def test_without_sampled_solutions_there_is_no_score_of_them_and_one_problem_has_no_standard_error() -> None:
    lines = list(sample_lines(MANIFEST, DOMAIN, outcomes(("test-1", True, 0, 0, "2"))))
    told = results(MANIFEST, "SFT", lines)["results"]["my_set_test"]
    assert lines[0]["metrics"] == ["exact_match"] and "sampled_match" not in lines[0]
    assert told == {
        "name": "my_set_test", "alias": "my_set_test", "sample_len": 1, "exact_match,none": 1.0,
        "exact_match_stderr,none": "N/A",
    }  # fmt: skip


def test_outcomes_of_problems_that_the_files_no_longer_have_are_refused() -> None:
    with pytest.raises(ValueError, match="problem test-9 is not in the data set's files as they are now"):
        list(sample_lines(MANIFEST, DOMAIN, outcomes(("test-9", True, 0, 0, ""))))


def test_the_fields_are_those_that_the_harness_writes() -> None:
    theirs = json.loads((LOGS / "samples_sums_2026-11-28T10-03-06.279747.jsonl").read_text().splitlines()[0])
    (mine,) = sample_lines(MANIFEST, DOMAIN, outcomes(("test-1", True, 0, 0, "2")))
    assert mine.keys() == theirs.keys()
    assert {type(mine[name]) for name in ("doc_id", "doc")} == {type(theirs[name]) for name in ("doc_id", "doc")}
    for name in ("doc_hash", "target_hash"):  # hashed as it hashes
        assert re.fullmatch("[0-9a-f]{64}", mine[name])
    document = json.loads((LOGS / "results_2026-11-28T10-03-06.279747.json").read_text())
    known = results(MANIFEST, "SFT", [mine])
    assert known.keys() - {"git_hash"} <= document.keys() | {"model_name_sanitized"}
    assert {"results", "configs", "versions", "n-shot", "n-samples", "higher_is_better", "config"} <= known.keys()


def test_a_sweep_is_exported_and_read_back_with_the_same_counts(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*tiny(*GRID), f"exec.store={sweep.store.root}"]
    assert main(["export", "-m", *words, "--out", str(tmp_path / "logs")]) == 0
    assert "12 evaluations in" in capsys.readouterr().out
    folders = sorted((tmp_path / "logs").iterdir())
    assert len(folders) == 12 and "per-step_DPO-n16-s0" in [folder.name for folder in folders]
    for run in sweep.plan.runs:
        facts = sweep.store.open(run.evaluate.key).manifest.facts
        (found,) = [f for f in (tmp_path / "logs").glob("*/results_*.json") if run.evaluate.key in f.read_text()]
        (scores,) = json.loads(found.read_text())["results"].values()
        assert scores["exact_match,none"] == pytest.approx(facts["n_correct"] / facts["n_test"])
        assert scores["sampled_match,none"] == pytest.approx(facts["n_correct_sampled"] / facts["n_sampled"])
    pair = [next((tmp_path / "logs" / name).glob("samples_*")) for name in ("SFT-n16-s0", "RFT-n16-s0")]
    assert analysis(["compare", *map(str, pair), "--y", "exact_match"]) == 0
    said = capsys.readouterr().out
    for letter, arm in (("A", "SFT"), ("B", "RFT")):
        point = {"arm": arm, "n_problems": 16}
        run = next(run for run in sweep.plan.runs if point.items() <= point_of(run.evaluate).items())
        share = sweep.store.open(run.evaluate.key).manifest.facts["n_correct"] / 40
        assert f"{letter}  {100 * share:.1f}% right" in said


def test_a_grid_without_a_built_run_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*tiny(*GRID), f"exec.store={tmp_path / 'empty'}", "--out", str(tmp_path / "logs")]
    assert main(["export", "-m", *words]) == 2
    assert "none of the 12 runs is built" in capsys.readouterr().err
    assert not (tmp_path / "logs").exists()


def test_two_runs_of_one_name_are_refused() -> None:
    refuse_one_name(["SFT-n16-s0", "SFT-n16-s1"])
    with pytest.raises(ValueError, match="SFT-n16-s0 names 2 runs of this grid, which differ in another setting"):
        refuse_one_name(["SFT-n16-s0", "SFT-n16-s0"])
