"""Anybody's problems: columns, verifiers, steps, splits, prompts, where files lie, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import natural
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from natural import is_right, opened, written

from sweep.data import domain
from sweep.data.answers import Answers
from sweep.data.natural_text import NaturalText
from sweep.data.problem_files import table_of
from sweep.data.problem_rows import chosen, heard
from sweep.data.prompts import Prompt
from sweep.data.records import END_OF_TURN, Problem
from sweep.data.segments import cutter

SKY = {  # a problem that is no mathematics
    "title": "sky",
    "verifier": "choice",
    "choices": "options.text",
    "answer": "key",
    "solution": "why",
    "answer_mark": "Answer: ",
    "prompt": "{question}\nThink, then say Answer: and a letter.\n",
}


def sky(n: int, key: Any = "B") -> dict[str, Any]:
    return {
        "question": f"What colour is sky {n}?",
        "options": {"text": ["green", "blue"]},
        "key": key,
        "why": "Air scatters short waves.\nAnswer: B",
    }


def words(n: int, **more: Any) -> dict[str, Any]:
    return {"question": f"Who is number {n}?", "solution": f"I look. It is\nName: Ann  {n}", "name": f"Ann {n}", **more}


def problems(folder: Path, train: list[Any], test: list[Any] | None = None, **dials: Any) -> NaturalText:
    named = {"title": "mine", "verifier": "text", "answer": "name", "answer_mark": "Name: "}
    return opened("problems", folder, train, test, **{**named, **dials})


def test_multiple_choice_shows_the_choices_and_compares_letters(tmp_path: Path) -> None:
    data = opened("problems", tmp_path, [sky(0), sky(1, "blue"), sky(2, 1)], [sky(3)], **SKY)
    train = data.problems("train")
    assert [p.answer for p in train] == ["B", "B", "B"]
    asked = "What colour is sky 0?\nA. green\nB. blue\nThink, then say Answer: and a letter.\n"
    assert data.prompt(train[0]) == asked
    texts = ["Answer: B", "Answer: (B)", "So\nAnswer: B. blue", "Answer: A", "Answer: Blue", "B", "Answer: b"]
    assert data.verdicts(texts, [train[0]] * 7).is_correct == [True, True, True, False, False, False, False]
    assert data.teacher_solution(train[0], np.random.default_rng(0)) == sky(0)["why"]


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("B", "B"), ("blue", "B"), (1, "B"), (0, "A"), (2, None), (-1, None), (True, None), ("red", None), (1.0, None)],
)
def test_a_right_choice_is_a_place_a_letter_or_a_text(answer: Any, letter: str | None) -> None:
    assert chosen(answer, ["green", "blue"]) == letter
    assert chosen("B", ["B", "A"]) is None  # its letter and its text are two choices
    assert chosen("x", ["x", "x"]) is None


def test_exact_text_is_compared_without_regard_to_blanks_alone(tmp_path: Path) -> None:
    data = problems(tmp_path, [words(0), words(1)], [words(2)])
    problem = data.problems("train")[0]
    assert problem.answer == "Ann 0"
    assert is_right(data, "Name:  Ann \t0 \nmore", problem)
    assert not is_right(data, "Name: ann 0", problem) and not is_right(data, "Ann 0", problem)


def test_a_whole_solution_can_be_its_answer() -> None:
    answers = Answers(None, "text")
    assert answers.final(" a\n b ") == "a b" and answers.final("") is None and answers.start("a") is None
    assert answers.final("a" * 20_001) is None


FUNCTION = """
import os, time
def same(reference, answer):
    print("words that must not reach the other end")
    if answer == "hang": time.sleep(1) if False else None
    while answer == "hang": pass
    if answer == "die": os._exit(3)
    if answer == "raise": raise KeyError(answer)
    return sorted(reference) == sorted(answer)
def late(reference, answer):
    while True: pass
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_verifier.py").write_text(FUNCTION)
    monkeypatch.syspath_prepend(tmp_path)
    return "my_verifier"


def by_function(folder: Path, function: str, **dials: Any) -> NaturalText:
    named = {"verifier": "function", "verifier_function": function, "comparison_s": 0.3, "answer": None}
    return problems(folder, [words(0), words(1)], [words(2)], **named, **dials)


def test_a_function_of_the_users_decides_in_a_process_that_is_killed(module: str, tmp_path: Path) -> None:
    data = by_function(tmp_path, f"{module}:same")
    problem = Problem("p", "q", "abc")
    texts = [f"Name: {word}" for word in ("cba", "abd", "hang", "die", "raise", "bca")]
    verdicts = data.verdicts(texts, [problem] * 6)
    assert verdicts.is_correct == [True, False, False, False, False, True]
    assert verdicts.undecided == {"out_of_time": 1, "crashed": 2}
    assert data.answers.equality is not None
    data.answers.equality.close()
    (tmp_path / "my_verifier.py").write_text(FUNCTION + "\n# another\n")
    assert by_function(tmp_path, f"{module}:same").revision != data.revision


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("my_verifier:nothing", r"dataset mine: answers are compared by my_verifier:nothing .* none starts"),
        ("my_verifier:late", r"verifier_function=my_verifier:late, asked about the reference answer 'Ann  0' .*out_of"),
        ("no_such_module:f", r"verifier_function=no_such_module:f: expected MODULE:NAME of a module in Python"),
        ("no.such.module:f", r"verifier_function=no.such.module:f: expected MODULE:NAME"),
        ("sys:exit", r"verifier_function=sys:exit: expected MODULE:NAME of a module in Python"),
        ("my_verifier", r"dataset.verifier_function must be MODULE:NAME, or null; found 'my_verifier'"),
    ],
)
def test_a_function_that_cannot_work_is_refused_when_a_sweep_is_planned(
    function: str, told: str, module: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=told):
        by_function(tmp_path, function)


def test_steps_end_behind_each_match_of_a_pattern_and_the_answer_is_in_the_last(tmp_path: Path) -> None:
    data = problems(tmp_path, [words(0)], [words(1)], step="pattern", step_pattern=r";\s*")
    assert data.steps("a; b;c") == ["a; ", "b;", "c"]
    assert data.steps("a; Name: x; y") == ["a; ", "Name: x; y"]
    assert data.steps("") == [] and data.steps(";") == [";"]
    with pytest.raises(ValueError, match=r"dataset: step_pattern='\[' is not a regular expression"):
        problems(tmp_path, [words(0)], [words(1)], step="pattern", step_pattern="[")
    with pytest.raises(ValueError, match=r"step=pattern with step_pattern=None: expected a pattern where step=pattern"):
        cutter("pattern", None)
    with pytest.raises(ValueError, match=r"step=line with step_pattern=;"):
        cutter("line", ";")


def test_splits_without_a_file_are_drawn_by_content_and_seed(tmp_path: Path) -> None:
    rows = [words(n) for n in range(30)]
    data = problems(tmp_path, rows, n_test=8, n_validation=5)
    again = problems(tmp_path, rows[::-1], n_test=8, n_validation=5)
    other = problems(tmp_path, rows, n_test=8, n_validation=5, split_seed=1)
    ids = {split: {p.problem_id for p in data.problems(split)} for split in ("train", "validation", "test")}
    assert [len(found) for found in ids.values()] == [17, 5, 8] and len(set.union(*ids.values())) == 30
    assert {p.problem_id for p in again.problems("test")} == ids["test"]
    assert {p.problem_id for p in other.problems("test")} != ids["test"]
    with pytest.raises(ValueError, match="mine: n_validation=20 and n_test=11 of 30 problems can't be held out"):
        problems(tmp_path, rows, n_test=11, n_validation=20)


def test_unseen_problems_have_a_file_of_their_own_and_are_in_no_other(tmp_path: Path) -> None:
    path = written(tmp_path / "unseen.jsonl", [words(7), words(8)])
    data = problems(tmp_path, [words(0)], [words(1)], unseen_path=path)
    assert [p.answer for p in data.problems("unseen")] == ["Ann 7", "Ann 8"]
    with pytest.raises(ValueError, match=r"2 problems cannot be used \(1 asked in test, 1 asked in unseen\)"):
        problems(tmp_path, [words(0), words(8)], [words(7)], unseen_path=path)
    with pytest.raises(ValueError, match="dataset mine: no split 'unseen'; choose one of test, train, validation"):
        problems(tmp_path, [words(0)], [words(1)]).problems("unseen")


def test_a_validation_file_and_contamination_between_all_three(tmp_path: Path) -> None:
    shared = words(7, question="WHO, is   number 7")  # words(7) in another spelling
    path = written(tmp_path / "validation.jsonl", [words(7), words(8)])
    told = r"2 problems cannot be used \(1 asked in test, 1 asked in validation\) and most_left_out=0 "
    with pytest.raises(ValueError, match=told):
        problems(tmp_path, [words(0), words(8)], [shared], validation_path=path)
    data = problems(tmp_path, [words(0), words(8)], [shared], validation_path=path, most_left_out=2)
    assert [data.n_problems(split) for split in ("train", "validation", "test")] == [1, 1, 1]
    assert data.left_out == {"asked in test": 1, "asked in validation": 1}
    assert heard("It costs 1.5, or so.") == heard("it costs 1.5 or so") != heard("It costs 15 or so")


@pytest.mark.parametrize(
    ("dials", "told"),
    [
        ({"n_test": 1}, r"dataset: n_test=1 with test_path=.*expected one of the two"),
        ({"n_validation": 1, "validation_path": "x"}, r"n_validation=1 with validation_path=x: expected one of"),
        ({"verifier": "choice"}, r"verifier=choice with choices=None: choices goes with verifier=choice"),
        ({"choices": "options"}, r"verifier=text with choices=options: choices goes with verifier=choice, and with no"),
        ({"verifier": "function"}, r"verifier=function with verifier_function=None: verifier_function goes with"),
        ({"examples_path": "x"}, r"n_examples=0 with examples_path=x: say how many"),
        ({"verifier": "guess"}, r"dataset.verifier must be one of number, math, text, choice, function; found 'guess'"),
        ({"prompt": "Solve it"}, r"dataset.prompt must be a text with \{question\} in it; found 'Solve it'"),
        ({"prompt": "{question}\x00"}, r"dataset.prompt must be a text with \{question\} in it"),
        ({"answer_mark": ""}, r"dataset.answer_mark must be a text of at least one character, or null"),
        ({"title": "a b"}, r"dataset.title must be letters, digits and _.\+-; found 'a b'"),
        ({"n_examples": -1}, r"dataset.n_examples must be a whole number from 0 to 1000"),
        ({"comparison_mb": 1}, r"dataset.comparison_mb must be a whole number from 256 to"),
        (
            {"answer": "nome"},
            r"line 1: expected a text in the column nome, found 'None' among .* with dataset.answer=COLUMN",
        ),
        ({"title": None}, r"dataset.title must be letters"),
        ({"nope": 1}, r"unknown key nope in dataset"),
    ],
)
def test_a_bad_dial_is_refused_by_name(dials: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        problems(tmp_path, [words(0)], [words(1)], **dials)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            {"options": ["a"]},
            r"a list of 2 to 26 texts in the column options.text, found 'None'; .* dataset.choices=COLUMN",
        ),
        ({"options": {"text": ["a"]}}, r"line 2: expected a list of 2 to 26 texts .* found"),
        ({"options": {"text": ["a", 1]}}, r"line 2: expected a list of 2 to 26 texts"),
        ({"key": "C"}, r"\(1 no answer that is a choice\)"),
        ({"why": None}, r"\(1 no solution\)"),
    ],
)
def test_a_bad_row_of_choices_is_refused(row: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        opened("problems", tmp_path, [sky(0), {**sky(1), **row}], [sky(2)], **SKY)


# ---------------------------------------------------------------- prompts


def test_worked_examples_are_train_problems_that_leave_the_train_split(tmp_path: Path) -> None:
    rows = [words(n) for n in range(6)]
    data = problems(tmp_path, rows, [words(9)], n_examples=2, instruction="Be brief.\n\n", prompt="Q: {question}\nA: ")
    asked = data.prompt(data.problems("test")[0])
    shown = [n for n in range(6) if words(n)["question"] in asked]
    assert len(shown) == 2 and data.n_problems("train") == 4
    assert not any(words(n)["question"] in p.question for n in shown for p in data.problems("train"))
    assert data.left_out == {"shown as an example": 2}
    first = next(n for n in shown if asked.startswith(f"Be brief.\n\nQ: {words(n)['question']}\nA: "))
    assert f"{words(first)['solution']}\n\nQ: " in asked and asked.endswith("Q: Who is number 9?\nA: ")
    with pytest.raises(ValueError, match="dataset mine: n_examples=7 and the train split has 6; ask for fewer"):
        problems(tmp_path, rows, [words(9)], n_examples=7)


def test_examples_of_a_file_are_never_problems_that_are_evaluated_on(tmp_path: Path) -> None:
    path = written(tmp_path / "examples.jsonl", [words(3), words(8), {"question": "Hm?", "name": "Bo"}])
    shot = {"n_examples": 1, "examples_path": path}
    data = problems(tmp_path, [words(0), words(3)], [words(9)], **shot)
    assert data.prompt(data.problems("test")[0]).startswith(f"Question: {words(3)['question']}\nAnswer:\nI look.")
    assert [p.question for p in data.problems("train")] == [words(0)["question"]]
    plain = problems(tmp_path, [words(0), words(3)], [words(9)])
    assert plain.revision != data.revision
    with pytest.raises(ValueError, match=r"1 of the first 1 examples cannot be shown \(.*line 1: asked in test\)"):
        problems(tmp_path, [words(0)], [words(3)], **shot)
    with pytest.raises(ValueError, match=r"1 of the first 3 examples cannot be shown \(.*line 3: no solution\)"):
        problems(tmp_path, [words(0)], [words(9)], **{**shot, "n_examples": 3})
    with pytest.raises(ValueError, match=rf"n_examples=4 and {path} has 2; ask for fewer"):
        written(tmp_path / "examples.jsonl", [words(3), words(8)])
        problems(tmp_path, [words(0)], [words(9)], **{**shot, "n_examples": 4})


def test_a_question_is_put_into_the_template_as_it_is() -> None:
    prompt = Prompt("{question} \\boxed{}", "I {question} ", (("{x}", "s"),), "|", is_chat=True)
    assert prompt.rendered("a {question} b") == "I {question} {x} \\boxed{}s|a {question} b \\boxed{}" + END_OF_TURN


# ---------------------------------------------------------------- where files lie


def test_parquet_and_several_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for n in (1, 0):
        pq.write_table(pa.Table.from_pylist([words(2 * n), words(2 * n + 1)]), tmp_path / f"train-{n}.parquet")
    pattern, test = str(tmp_path / "train-*.parquet"), written(tmp_path / "test.jsonl.gz", [words(9)])
    dials = {"verifier": "text", "title": "mine", "answer": "name", "answer_mark": "Name: "}
    data = domain({**natural.dials_of("problems"), **dials, "train_path": pattern, "test_path": test})
    assert [p.answer for p in data.problems("train")] == ["Ann 0", "Ann 1", "Ann 2", "Ann 3"]
    assert table_of(pattern, "mine").rows[2][0] == f"{tmp_path}/train-1.parquet, row 1"


def test_the_same_rows_in_another_file_are_another_revision_and_places_are_none(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first, moved = (problems(folder, [words(0)], [words(1)]) for folder in (tmp_path, tmp_path / "other"))
    assert first.revision == moved.revision
    assert problems(tmp_path, [words(0), words(2)], [words(1)]).revision != first.revision
    assert problems(tmp_path, [words(1)], [words(0)]).revision != first.revision


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("train.txt", r"dataset mine: .*train.txt: expected a file that ends in one of .jsonl, .jsonl.gz, .parquet"),
        ("train.parquet", r"dataset mine: .*train.parquet is not a Parquet file that can be read"),
        ("none-*.jsonl", r"dataset mine: no file matches .*none-\*.jsonl"),
        ("hf://datasets/a/b@main/train.jsonl", r"expected hf://datasets/OWNER/NAME@COMMIT/FILE with the 40"),
        ("hf://a/b/train.jsonl", r"expected hf://datasets/OWNER/NAME@COMMIT/FILE"),
    ],
)
def test_files_of_no_known_kind_or_place_are_refused(path: str, told: str, tmp_path: Path) -> None:
    for name in ("train.txt", "train.parquet"):
        (tmp_path / name).write_text("no rows")
    with pytest.raises(ValueError, match=told):
        table_of(path if "://" in path else str(tmp_path / path), "mine")


def test_a_hub_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"pip install '.\[sweep\]', or give a file"):
        table_of(f"hf://datasets/a/b@{COMMIT}/train.jsonl", "mine")


COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS = b'{"question": "q", "solution": "s"}\n'
NAMES = ("main/train-0.jsonl", "README.md")


class Hub(BaseHTTPRequestHandler):
    """A hub with one data set of two files at one commit."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path.startswith(f"/api/datasets/someone/sums/revision/{COMMIT}"):
            names = [{"rfilename": name} for name in NAMES]
            self.say(json.dumps({"id": "someone/sums", "sha": COMMIT, "siblings": names}).encode())
        elif self.path.startswith(f"/api/datasets/someone/sums/tree/{COMMIT}"):
            self.say(json.dumps([{"type": "file", "path": n, "size": len(ROWS), "oid": "abc"} for n in NAMES]).encode())
        elif self.path == f"/datasets/someone/sums/resolve/{COMMIT}/main/train-0.jsonl":
            self.say(ROWS, {"ETag": '"abc"', "X-Repo-Commit": COMMIT})
        else:
            self.send_error(404)

    def say(self, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def read_from(hub: str, path: str, home: Path) -> subprocess.CompletedProcess[str]:
    code = f"from sweep.data.problem_files import table_of; print(table_of({path!r}, 'mine').rows)"
    env = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)


def test_a_data_set_of_a_hub_is_read_at_its_commit_and_again_without_the_hub(hub: str, tmp_path: Path) -> None:
    path = f"hf://datasets/someone/sums@{COMMIT}/main/train-*.jsonl"
    found = read_from(hub, path, tmp_path)
    assert "train-0.jsonl, line 1" in found.stdout, found.stderr
    assert read_from("http://127.0.0.1:9", path, tmp_path).stdout == found.stdout
    gone = read_from("http://127.0.0.1:9", path.replace("sums", "none"), tmp_path)
    assert "can't be fetched" in gone.stderr and "plan where the hub can be reached" in gone.stderr
