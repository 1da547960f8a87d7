"""GSM8K files: reading, refusals, hold-out by content, steps and the verifier of final answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import natural
import numpy as np
import pytest
from natural import is_right

from sweep.data import ProceduralDomain, domain
from sweep.data.answers import Answers
from sweep.data.natural_text import NaturalText
from sweep.data.numbers import normalised_number
from sweep.data.records import Problem

REAL = Path(__file__).parents[2] / "shared" / "data" / "gsm8k"

ROWS = [
    {"question": f"Ada has {n} pens and buys {n} more. How many?", "answer": f"{n}+{n}={2 * n}\n#### {2 * n}"}
    for n in range(1, 21)
]


GSM8K = Answers("#### ", "number")
final_answer = GSM8K.final


def opened(folder: Path, train: list[Any], test: list[Any], **dials: Any) -> NaturalText:
    return natural.opened("gsm8k", folder, train, test, **dials)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("72", "72"),
        (" 72. ", "72"),
        ("1,080", "1080"),
        ("$1,450,000.00.", "1450000"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("+3", "3"),
        ("-0", "0"),
        ("007", "7"),
        ("0.50", "0.5"),
        (".5", "0.5"),
        ("10", "10"),
        ("25%", "25"),
        ("5.", "5"),
        ("5...", "5"),
        ("٧٢", "72"),  # Arabic-Indic
        ("－１，０８０．５", "-1080.5"),  # full-width, its marks too
        ("７2", "72"),
        ("٣٬٥٠٠٫٥", "3500.5"),
        ("−5", "-5"),  # the minus sign, where a keyboard has a hyphen
        ("$−5", "-5"),
        ("٢٥٪", None),
        ("7²", None),
        ("½", None),
        ("Ⅷ", None),
        ("5 6", None),
        ("1 080", None),
        ("1.080,5", None),
        ("1,00,000", None),
        ("1,,000", None),
        ("%", None),
        (".", None),
        ("5%%", None),
        ("NaN", None),
        ("0x1f", None),
        ("1_000", None),
        ("1,08", None),
        ("--5", None),
        ("five", None),
        ("5 apples", None),
        ("2**9", None),
        ("1e9", None),
        ("", None),
        ("$", None),
        ("9" * 101, None),
    ],
)
def test_one_spelling_for_one_number(text: str, number: str | None) -> None:
    assert normalised_number(text) == number


def test_the_final_answer_is_the_number_after_the_first_mark() -> None:
    assert final_answer("48/2 = 24\n48+24 = 72\n#### 72") == "72"
    assert final_answer("#### 72\n\nQuestion: and now?\n#### 9") == "72"
    assert final_answer("so 72") is None
    assert final_answer("#### many") is None
    assert final_answer(" " * 20_001 + "#### 72") is None


def test_a_number_in_another_script_is_the_same_number_to_the_verifier(tmp_path: Path) -> None:
    rows = [{"question": f"q{i}", "answer": f"#### {text}"} for i, text in enumerate(("٧٢", "７２", "72", "−７٢"))]
    data = opened(tmp_path, rows, ROWS[3:5])
    problems = data.problems("train")
    assert [p.answer for p in problems] == ["72", "72", "72", "-72"]
    assert is_right(data, "so\n#### ٧2.", problems[2])
    assert not is_right(data, "so\n#### 7²", problems[2])


def test_an_endless_answer_is_wrong_at_once() -> None:
    for text in ("9" * 10**6, "1," * 10**6, "." * 10**6, "$ " * 10**6, "#### " * 10**6):
        assert final_answer("#### " + text) is None
    assert final_answer("#### " + " " * 19_000 + "9") == "9"


def test_steps_can_be_sentences_and_join_to_the_text(tmp_path: Path) -> None:
    data = opened(tmp_path, ROWS[:3], ROWS[3:5], step="sentence")
    text = "It costs $0.5 each. Is it 3? Yes!\nSo 3 * 0.5 = 1.5\n#### 1.5"
    assert data.steps(text) == ["It costs $0.5 each.", " Is it 3?", " Yes!\n", "So 3 * 0.5 = 1.5\n", "#### 1.5"]
    assert data.steps("One.  Two. \n Three.") == ["One.", "  Two. \n", " Three."]
    for odd in ("", "\n\n", ". . .", "a.\n\n b", "#### 3", " . ", "a. #### b. c"):
        assert "".join(data.steps(odd)) == odd
    with pytest.raises(ValueError, match=r"dataset.step must be one of line, sentence, pattern; found 'word'"):
        opened(tmp_path, ROWS[:3], ROWS[3:5], step="word")


def test_steps_are_lines_and_join_to_the_text(tmp_path: Path) -> None:
    data = opened(tmp_path, ROWS[:3], ROWS[3:5])
    assert data.steps("a\nb\n\n#### 3") == ["a\n", "b\n\n", "#### 3"]
    assert data.steps("a\n\n  b \nc \n \n") == ["a\n\n ", " b \n", "c \n \n"]
    for text in ("", "\n", "\n\na", "a\n \nb\n", "one line"):
        assert "".join(data.steps(text)) == text


def test_the_teacher_is_the_reference_solution_and_the_verifier_accepts_it(tmp_path: Path) -> None:
    data = opened(tmp_path, ROWS[:3], ROWS[3:5])
    problem = data.problems("train")[1]
    text = data.teacher_solution(problem, np.random.default_rng(0))
    assert text == "2+2=4\n#### 4"
    assert problem.answer == "4"
    assert is_right(data, text, problem)
    assert not is_right(data, "2+2=5\n#### 5", problem)
    assert data.prompt(problem) == f"Question: {ROWS[1]['question']}\nAnswer:\n"


def test_validation_is_held_out_by_content_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    data = opened(tmp_path, ROWS[:15], ROWS[15:], n_validation=5)
    again = opened(tmp_path, ROWS[:15][::-1], ROWS[15:], n_validation=5)
    ids = [{p.problem_id for p in data.problems(s)} for s in ("train", "validation", "test")]
    assert [len(i) for i in ids] == [10, 5, 5]
    assert len(set.union(*ids)) == 20
    assert {p.problem_id for p in again.problems("validation")} == ids[1]


def test_smaller_sets_are_inside_larger_ones_and_too_large_ones_are_refused(tmp_path: Path) -> None:
    data = opened(tmp_path, ROWS[:15], ROWS[15:], n_validation=5)
    assert data.problems("train", 8)[:4] == data.problems("train", 4)
    with pytest.raises(ValueError, match="dataset gsm8k, train: 11 problems were asked for and it has 10"):
        data.problems("train", 11)


def test_the_revision_follows_the_content_of_the_files(tmp_path: Path) -> None:
    first = opened(tmp_path, ROWS[:3], ROWS[3:5]).revision
    assert opened(tmp_path, ROWS[:3], ROWS[3:5]).revision == first
    assert opened(tmp_path, ROWS[:3], ROWS[3:6]).revision != first


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'\xef\xbb\xbf{"question": "q", "answer": "#### 3"}', r"train.jsonl, line 3: .* found a byte order mark"),
        (b'{"question": "caf\xe9", "answer": "#### 3"}', r"line 3, byte 18 of the line: expected UTF-8 .* byte 0xe9"),
        (b'{"question": "\xed\xa0\xbd", "answer": "#### 3"}', r"line 3, byte 15 of the line: expected UTF-8"),
        ('{"question": "a \\ud83d b", "answer": "#### 3"}', r"line 3: 'question' holds half of a surrogate pair"),
        ('{"question": "q", "answer": "#### 3", "x": {"\\udc00": [1]}}', r"line 3: 'x' holds half of a surrogate pair"),
        ('{"question": "q", "answer": "\\u0661 is \\uD83D\\n#### 3"}', r"line 3: 'answer' holds half"),
        ('{"question": "q", "answer": ' + "9" * 5_000 + "}", r"line 3: .*a number of 5000 characters, more than 1000"),
        ('{"question": "q", "answer": -' + "9" * 1_000 + "}", r"line 3: .*a number of 1001 characters"),
        ('{"question": "q", "answer": "#### 3", "x": 1e999}', r"line 3: .*number 1e999 is beyond a float's range"),
        ('{"question": "q", "answer": "#### 3", "x": NaN}', r"line 3: .*NaN is not a JSON number"),
        ('{"question": "q", "answer": "#### 3", "x": -Infinity}', r"line 3: .*-Infinity is not a JSON number"),
        ('{"question": "q", "question": "r", "answer": "#### 3"}', r"line 3: .*the key 'question' is given twice"),
        ('{"question": "q", "answer": "#### 3"} {}', r"line 3: .*does not parse"),
        ("null", r"train.jsonl, line 3: expected a JSON object, got 'null'"),
        (
            {"question": ["q"], "answer": "#### 3"},
            r"train.jsonl, line 3: expected a text in the column question, found",
        ),
        ({"question": "q", "answer": "#### 5\n#### 3"}, r"1 problems cannot be used .*line 3: '####' more than once"),
        ({"question": "q", "answer": "####3"}, r"train.jsonl, line 3: no answer that is a number"),
        ({"question": "q", "answer": "#### 1e9"}, r"train.jsonl, line 3: no answer that is a number"),
        ({"question": "q", "answer": "#### " + "9" * 101}, r"train.jsonl, line 3: no answer that is a number"),
        ({"question": "q", "answer": " " * 20_000 + "#### 3"}, r"line 3: a solution of more than 20000 characters"),
        ({**ROWS[0], "answer": "#### 9"}, r"train.jsonl, line 3: asked before"),
        ('{"question": "q", ', r"train.jsonl, line 3: expected a JSON object, it does not parse"),
        ("[" * 100_000, r"train.jsonl, line 3: expected a JSON object, it does not parse"),
        ("[1, 2]", r"train.jsonl, line 3: expected a JSON object, got '\[1, 2\]'"),
        ({"question": "q"}, r"train.jsonl, line 3: no answer that is a number"),
        (
            {"answer": "#### 3"},
            r"line 3: expected a text in the column question, found 'None' among the columns answer",
        ),
        ({"question": "q", "answer": [3]}, r"train.jsonl, line 3: expected a text in the column answer, found '\[3\]'"),
        ({"question": "q", "answer": True}, r"train.jsonl, line 3: expected a text in the column answer"),
        ({"question": "q", "answer": "it is 3"}, r"train.jsonl, line 3: no answer that is a number"),
        ({"question": "q", "answer": "#### three"}, r"train.jsonl, line 3: no answer that is a number"),
        ({"question": " ", "answer": "#### 3"}, r"train.jsonl, line 3: no question"),
        ({"question": "a \x17", "answer": "#### 3"}, r"train.jsonl, line 3: no question"),
    ],
)
def test_a_bad_line_is_refused_with_file_and_line(tmp_path: Path, line: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        opened(tmp_path, [*ROWS[:2], line], ROWS[3:5])


def test_an_overlap_in_content_is_refused_with_its_count_whatever_its_spelling(tmp_path: Path) -> None:
    shouted = {**ROWS[0], "question": ROWS[0]["question"].upper().replace(" ", "  ")}
    with pytest.raises(
        ValueError, match=r"1 problems cannot be used \(1 asked in test\) .*train.jsonl, line 1: asked in"
    ):
        opened(tmp_path, ROWS[:3], [ROWS[3], shouted])
    with pytest.raises(ValueError, match=r"\(1 asked before\) .*train.jsonl, line 4: asked before"):
        opened(tmp_path, [*ROWS[:3], shouted], [ROWS[3]])


def test_what_cannot_be_read_or_held_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"missing.jsonl can't be read \(No such file"):
        domain({**natural.dials_of("gsm8k"), "train_path": "x", "test_path": str(tmp_path / "missing.jsonl")})
    with pytest.raises(ValueError, match="n_validation=9 and n_test=0 of 3 problems"):
        opened(tmp_path, ROWS[:3], ROWS[3:5], n_validation=9)
    with pytest.raises(ValueError, match=r"dataset.n_validation must be a whole number from 0 to 10000000; found -1"):
        opened(tmp_path, ROWS[:3], ROWS[3:5], n_validation=-1)


def test_it_is_no_procedural_domain_and_has_no_unknown_split(tmp_path: Path) -> None:
    data = opened(tmp_path, ROWS[:3], ROWS[3:5])
    assert not isinstance(data, ProceduralDomain)
    with pytest.raises(ValueError, match="no split 'dev'"):
        data.problems("dev")


@pytest.mark.skipif(not REAL.is_dir(), reason="needs GSM8K in ../shared/data/gsm8k")
def test_the_verifier_accepts_every_reference_answer_of_gsm8k() -> None:
    data = domain(
        {
            **natural.dials_of("gsm8k"),
            "train_path": str(REAL / "train.jsonl"),
            "test_path": str(REAL / "test.jsonl"),
        }
    )
    rng = np.random.default_rng(0)
    problems: list[Problem] = [p for s in ("train", "validation", "test") for p in data.problems(s)]
    assert len(problems) == 7_473 + 1_319
    for problem in data.problems("train"):  # those of other splits have no solution that anything could learn from
        text = data.teacher_solution(problem, rng)
        assert text is not None and is_right(data, text, problem)
        assert "".join(data.steps(text)) == text
        assert final_answer(data.steps(text)[-1]) == problem.answer
