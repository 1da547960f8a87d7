"""What is made once before a sweep: problems of templates with the faults of their solutions told."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import natural
import numpy as np
import pytest

from sweep.data import domain
from sweep.prepare import gsm_symbolic
from sweep.prepare.__main__ import main
from sweep.prepare.faults import (
    FALSE_EQUATION,
    NO_ANSWER_LINE,
    NOTHING_DONE,
    OTHER_ANSWER,
    OTHER_SPELLING,
    equations,
    faults,
)
from sweep.prepare.out import check_out


@pytest.mark.parametrize(
    ("solution", "found"),
    [
        ("160-48=112 a day\n112*5=560\n#### 560", []),
        ("So 560", [NO_ANSWER_LINE]),
        ("#### 561", [OTHER_ANSWER]),
        ("#### many", [OTHER_ANSWER]),
        ("#### 560.0", [OTHER_SPELLING]),
        ("#### 0560", [OTHER_SPELLING]),
        ("James gets 48=48 emails\n#### 560", [NOTHING_DONE]),
        ("2 + 48 = 50\n#### 560", []),
        ("2 + 48 = 51\n#### 560", [FALSE_EQUATION]),
        ("1,000 - 1 = 999, €36.16 - €6.16 = €29\n#### 560", [FALSE_EQUATION]),
        ("4 × (3 + 2) = 20; 14 ÷ 4 = 3.5; 10 / 3 = 3.33\n#### 560", []),
        ("13*0.5=6\n48=48\n#### 5", [OTHER_ANSWER, FALSE_EQUATION, NOTHING_DONE]),
    ],
)
def test_faults_of_a_worked_solution(solution: str, found: list[str]) -> None:
    assert faults(solution, "560") == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("80 cards * 50/100 = 40", []),  # the left side is only the end of one
        ("half of 3 + 4 = 5", []),
        ("the chance is 9 / 10 = 90%", []),
        ("9 / 10 = 90.0% of all", []),
        ("3 + 4 = 7 * 1", []),
        ("x = 7", []),
        ("3 + 4 = 7.", [("3 + 4", "7")]),
        ("(3 + 4) * 2 = 14", [("(3 + 4) * 2", "14")]),
    ],
)
def test_an_equation_is_judged_where_all_of_its_left_side_is_arithmetic(text: str, found: list[Any]) -> None:
    assert equations(text) == found


def test_what_cannot_be_worked_out_is_no_fault() -> None:
    assert faults("1 / 0 = 5, 3 ** 9 = 7, 3 3 = 4, (1 + 2 = 3\n#### 1", "1") == []
    assert faults("9**9**9**9**9 = 1\n#### 1", "1") == []


def said(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(words)
    return code, *capsys.readouterr()


SMALL = ("--test", "60", "--unseen", "50", "--validation", "40", "--train", "300")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("reasoning_gym", reason="needs the extra gsm_symbolic")
    folder = tmp_path_factory.mktemp("gsm")
    assert main(["gsm_symbolic", "--out", str(folder), *SMALL]) == 0
    return folder


def rows(folder: Path, split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]


def test_problems_of_templates_are_a_data_set_whose_splits_share_nothing(files: Path) -> None:
    dials = natural.dials_of("gsm_symbolic")
    paths = {name: str(files / Path(path).name) for name, path in dials.items() if name.endswith("_path") and path}
    data = domain({**dials, **paths})
    sizes = {split: len(data.problems(split)) for split in ("train", "validation", "test", "unseen")}  # type: ignore[arg-type]
    assert sizes == {"train": 300, "validation": 40, "test": 60, "unseen": 50}
    assert data.left_out == {}
    train = data.problems("train")
    texts = [data.teacher_solution(p, np.random.default_rng(0)) or "" for p in train]
    assert sum(data.verdicts(texts, train).is_correct) == 300 - sum(
        OTHER_ANSWER in r["faults"] for r in rows(files, "train")
    )
    assert not train[0].question.endswith("units.")


def test_unseen_problems_are_of_templates_that_nothing_else_is_of(files: Path) -> None:
    of_unseen = {row["template"] for row in rows(files, "unseen")}
    others = {row["template"] for split in ("train", "validation", "test") for row in rows(files, split)}
    facts = json.loads((files / "facts.json").read_text())
    assert (
        not of_unseen & others and of_unseen <= set(facts["unseen_templates"]) and len(facts["unseen_templates"]) == 10
    )
    train = facts["files"]["train"]
    assert train["n_faulty"] == sum(bool(row["faults"]) for row in rows(files, "train")) > 0
    assert train["faults"][FALSE_EQUATION] >= len(train["examples"][FALSE_EQUATION]) > 0
    assert facts["reasoning_gym"]


def test_the_same_seed_gives_the_same_files_and_another_seed_others(files: Path, tmp_path: Path) -> None:
    few = ("--out", str(tmp_path), "--test", "60", "--unseen", "0", "--validation", "0", "--train", "0")
    assert main(["gsm_symbolic", *few]) == 0
    again = (tmp_path / "test.jsonl").read_bytes()
    assert not (tmp_path / "unseen.jsonl").exists()
    assert again == (files / "test.jsonl").read_bytes()
    assert main(["gsm_symbolic", *few, "--seed", "1"]) == 0
    assert (tmp_path / "test.jsonl").read_bytes() != again


def example(question: str, solution: str = "#### 2") -> dict[str, Any]:
    return {"question": question, "answer": "2", "metadata": {"answer_cot": solution}}


def test_templates_that_have_no_more_questions_are_not_asked_for_ever(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def stream(seed: int) -> tuple[str, Iterator[tuple[int, dict[str, Any]]]]:
        return "0", iter([(i % 4, example(f"{i % 4}?")) for i in range(20_000)])

    monkeypatch.setattr(gsm_symbolic, "_stream", stream)
    words = ("gsm_symbolic", "--out", "never", "--unseen-templates", "1", "--test", "9", "--unseen", "1")
    code, _, err = said(*words, capsys=capsys)
    assert code == 2 and "the templates have no more; ask for fewer" in err and "test wants 6 more" in err


def test_a_solution_without_an_answer_line_is_given_one_and_counted() -> None:
    made = gsm_symbolic.problem_of(
        3, example("Why? Give the result as your final answer. Do not include units.", "So 2.")
    )
    assert (made.question, made.solution, made.faults) == ("Why?", "So 2.\n#### 2", [NO_ANSWER_LINE])
    assert "1 has no line that states the answer" in gsm_symbolic.summary([made])
    assert gsm_symbolic.summary([]).endswith("worked solution: none")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "expected one of gsm_symbolic"),
        (("nope",), "expected one of gsm_symbolic"),
        (("gsm_symbolic", "--train", "-1"), "expected a seed and sizes of 0 or more"),
        (("gsm_symbolic", "--seed", "-1"), "expected a seed and sizes of 0 or more"),
    ],
)
def test_what_cannot_be_prepared_is_refused_in_a_paragraph(words: tuple[str, ...], told: str, capsys: Any) -> None:
    code, _, err = said(*words, capsys=capsys)
    assert code == 2 and told in err and "Traceback" not in err


@pytest.mark.parametrize("name", ["train.jsonl", "unseen.jsonl", "facts.json"])
def test_somebody_s_files_are_not_replaced_by_prepared_ones(name: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / name).write_text("[]")
    code, _, err = said("gsm_symbolic", "--out", str(tmp_path), capsys=capsys)
    assert code == 2 and f"--out {tmp_path}: {name} there was not written by this command" in err
    assert (tmp_path / name).read_text() == "[]"


def test_prepared_files_are_replaced_by_prepared_ones_also_where_they_were_not_finished(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").touch()
    (tmp_path / "facts.json").write_text('{"reasoning_gym": "0"}')
    check_out(tmp_path, ["train.jsonl"], "reasoning_gym")
    with pytest.raises(ValueError, match=r"train.jsonl, facts.json there was not written by this command"):
        check_out(tmp_path, ["train.jsonl"], "settings")


def test_more_unseen_templates_than_there_are_is_refused(files: Path, capsys: Any) -> None:
    code, _, err = said("gsm_symbolic", "--unseen-templates", "85", capsys=capsys)
    assert code == 2 and "--unseen-templates 85: expected 0 to 84, of 85 templates" in err


def test_help_tells_what_there_is(capsys: Any) -> None:
    code, out, _ = said("--help", capsys=capsys)
    assert code == 0 and "gsm_symbolic" in out and "gguf" in out


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    code, _, err = said("gsm_symbolic", capsys=capsys)
    assert code == 2 and "install the extra: pip install '.[gsm_symbolic]'" in err
