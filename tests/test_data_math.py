"""MATH files: reading, what is left out, hold-out by content, boxes, steps and the verifier of final answers."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import natural
import numpy as np
import pytest
from test_equality import read, stages

from sweep.data import ProceduralDomain, domain
from sweep.data.answers import BOX, Answers
from sweep.data.boxed import last_box, normalised
from sweep.data.equality import DIFFERENT, EQUAL, TOO_LONG, Equality
from sweep.data.natural_text import NaturalText
from sweep.data.segments import cutter, up_to_the_answer

REAL = Path(__file__).parents[2] / "shared" / "data" / "math"
UNREAD = Path(__file__).parent / "fixtures" / "math_references_unread.csv"

ROWS = [
    {"problem": f"What is ${n}+{n}$?", "solution": f"We add.\nSo it is $\\boxed{{{2 * n}}}$.", "level": "Level 1"}
    for n in range(1, 21)
]


MATH = Answers(BOX, "math")
final_answer = MATH.final


def opened(folder: Path, train: list[Any], test: list[Any], ending: str = "jsonl", **dials: Any) -> NaturalText:
    return natural.opened("math", folder, train, test, ending, **dials)


def steps_of(text: str, step: str) -> list[str]:
    parts, start = cutter(step, None)(text), MATH.start(text)
    return parts if start is None else up_to_the_answer(parts, start)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so $\boxed{5}$.", "5"),
        (r"first \boxed{1}, then \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\text{a \} b}}", r"\text{a\}b}"),
        (r"\boxed{3} or \boxed{4", "3"),
        (r"it is $\boxed 9$.", "9"),
        (r"it is \boxed 9.", None),
        (r"\boxed{}", None),
        (r"\boxed{ }", None),
        ("none", None),
        ("", None),
        (r"\boxed{\begin{pmatrix} 1 \\ 2 \end{pmatrix}}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
        (" " * 20_001 + r"\boxed{5}", None),
    ],
)
def test_the_final_answer_is_what_the_last_box_that_closes_holds(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


def test_texts_without_end_are_read_at_once() -> None:
    for text in (r"\boxed{" * 2_800, r"\boxed " * 2_800, "{" * 19_000 + r"\boxed{1}", r"\boxed{" + "(" * 10_000 + "}"):
        assert len(final_answer(text) or "") <= 10_000


def test_steps_are_lines_or_sentences_and_the_box_begins_in_the_last() -> None:
    text = "Add. Then\n\nhalve it. So $x = \\boxed{\\frac{1}{2}}$. That is\nall."
    assert steps_of(text, "line") == ["Add. Then\n\n", "halve it. So $x = \\boxed{\\frac{1}{2}}$. That is\nall."]
    assert steps_of(text, "sentence") == [
        "Add.", " Then\n\n", "halve it.", " So $x = \\boxed{\\frac{1}{2}}$. That is\nall.",
    ]  # fmt: skip
    assert steps_of("One.\nTwo.", "line") == ["One.\n", "Two."]
    for odd in ("", "\n", "\\boxed{", "a\n\\boxed{1}\nb", "\\boxed{\n1}\n", "a. b.\\boxed{2}"):
        for step in ("line", "sentence"):
            assert "".join(steps_of(odd, step)) == odd


def test_the_teacher_is_the_reference_solution_and_the_verifier_accepts_it(tmp_path: Path) -> None:
    data = opened(tmp_path, ROWS[:3], ROWS[3:5])
    assert not isinstance(data, ProceduralDomain)
    problems = data.problems("train")
    texts = [data.teacher_solution(p, np.random.default_rng(0)) for p in problems]
    assert texts[1] == "We add.\nSo it is $\\boxed{4}$."
    assert [p.answer for p in problems] == ["2", "4", "6"]
    assert data.verdicts(texts, problems).is_correct == [True, True, True]
    assert data.prompt(problems[1]) == "Problem: What is $2+2$?\nPut the final answer in \\boxed{}.\nSolution:\n"


def test_many_solutions_are_judged_by_what_they_say_and_what_is_undecided_is_counted(tmp_path: Path) -> None:
    data = opened(tmp_path, ROWS[:3], ROWS[3:5])
    problems = [data.problems("train")[1]] * 6
    texts = [r"\boxed{\frac{8}{2}}", r"\boxed{5}", "4", r"\boxed{%s}" % ("(" * 600), r"\boxed{2^2}", r"\boxed{4}"]
    verdicts = data.verdicts(texts, problems)
    assert verdicts.is_correct == [True, False, False, False, True, True]
    assert verdicts.undecided == {TOO_LONG: 1}
    assert data.verdicts([], []).is_correct == []


def test_problems_that_cannot_be_used_are_refused_or_left_out_and_counted(tmp_path: Path) -> None:
    train = [
        *ROWS[:3],
        {"problem": "what is  $1 + 1$", "solution": r"\boxed{2}"},  # asked before, spelt otherwise
        {"problem": "What is $4 + 4$?", "solution": r"\boxed{8}"},  # in the test file
        {"problem": "How many?", "solution": r"\boxed{}"},
        {"problem": "Which?", "solution": "none"},
        {"problem": "Long?", "solution": r"\boxed{%s}" % ("1" * 501)},
    ]
    data = opened(tmp_path, train, [*ROWS[3:5], ROWS[3]], most_left_out=6)
    assert data.left_out == {"asked before": 2, "asked in test": 1, "no answer": 3}
    assert [p.answer for p in data.problems("train")] == ["2", "4", "6"]
    assert [p.answer for p in data.problems("test")] == ["8", "10"]
    counts = r"6 problems cannot be used \(3 no answer, 2 asked before, 1 asked in test\) and most_left_out=5 .*"
    told = counts + r"\(.*test.jsonl, line 3: asked before; .*\.\.\.\)"
    with pytest.raises(ValueError, match=told):
        opened(tmp_path, train, [*ROWS[3:5], ROWS[3]], most_left_out=5)


def test_validation_is_held_out_by_content_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    data = opened(tmp_path, ROWS[:15], ROWS[15:], n_validation=5)
    again = opened(tmp_path, ROWS[:15][::-1], ROWS[15:], n_validation=5)
    ids = [{p.problem_id for p in data.problems(s)} for s in ("train", "validation", "test")]
    assert [len(i) for i in ids] == [10, 5, 5] == [data.n_problems(s) for s in ("train", "validation", "test")]
    assert len(set.union(*ids)) == 20
    assert {p.problem_id for p in again.problems("validation")} == ids[1]
    with pytest.raises(ValueError, match="n_validation=16 and n_test=0 of 15 problems"):
        opened(tmp_path, ROWS[:15], ROWS[15:], n_validation=16)
    with pytest.raises(ValueError, match="dataset math, train: 11 problems were asked for and it has 10"):
        data.problems("train", 11)
    with pytest.raises(ValueError, match="dataset math: no split 'dev'"):
        data.problems("dev")


def test_packed_files_are_the_same_data_set(tmp_path: Path) -> None:
    plain, packed = (opened(tmp_path, ROWS[:3], ROWS[3:5], ending) for ending in ("jsonl", "jsonl.gz"))
    assert plain.revision == packed.revision
    assert plain.problems("train") == packed.problems("train")
    assert opened(tmp_path, ROWS[:3], ROWS[3:6]).revision != plain.revision


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", r"train.jsonl, line 2: expected a JSON object, got"),
        ({"problem": "q"}, r"train.jsonl, line 2: no answer"),
        ({"problem": {}, "solution": r"\boxed{3}"}, r"line 2: expected a text in the column problem"),
        ({"problem": " ", "solution": r"\boxed{3}"}, r"line 2: no question"),
    ],
)
def test_a_bad_line_is_refused_with_file_and_line(tmp_path: Path, line: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        opened(tmp_path, [ROWS[0], line], ROWS[3:5])


def test_files_that_cannot_be_read_or_unpacked_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"x" * 1000)[:-12])
    (tmp_path / "plain.gz").write_bytes(b"plain")
    for name in ("missing.jsonl", "cut.gz", "plain.gz"):
        with pytest.raises(ValueError, match=rf"dataset math: .*{name} can't be read \(.+\); give files that can"):
            domain({**natural.dials_of("math"), "test_path": str(tmp_path / name)})


def of_math() -> NaturalText:
    if not REAL.is_dir():
        pytest.skip("needs MATH in ../shared/data/math")
    paths = {f"{name}_path": str(REAL / f"{name}.jsonl.gz") for name in ("train", "test")}
    found = domain({**natural.dials_of("math"), **paths})
    assert isinstance(found, NaturalText)
    return found


def test_every_problem_of_math_is_used_or_counted_and_its_solution_joins_and_verifies() -> None:
    data = of_math()
    problems = [p for s in ("train", "validation", "test") for p in data.problems(s)]
    assert data.n_problems("test") == 5_000 and data.n_problems("validation") == 500
    assert len(problems) + sum(data.left_out.values()) == 12_500
    problems = data.problems("train")  # those of other splits have no solution that anything could learn from
    texts = [data.teacher_solution(p, np.random.default_rng(0)) or "" for p in problems]
    for text, problem in zip(texts, problems, strict=True):
        for step in ("line", "sentence"):
            steps = steps_of(text, step)
            assert "".join(steps) == text
            assert final_answer(steps[-1]) == problem.answer
    verdicts = data.verdicts(texts, problems)
    assert all(verdicts.is_correct) and verdicts.undecided == {}
    assert data.answers.equality is not None and data.answers.equality._processes == []  # equal text needs none


class ByMeaning(Equality):
    """Compares equal text too."""

    def _without_asking(self, pair: tuple[str, str]) -> str | None:
        return None


@pytest.mark.slow
def test_math_verify_agrees_with_every_reference_answer_but_the_listed_ones() -> None:
    data = of_math()
    n_problems = Counter(p.answer for s in ("train", "validation", "test") for p in data.problems(s))
    assert data.answers.equality is not None
    comparer = ByMeaning(data.answers.equality.limits)
    outcomes = comparer.outcomes([(answer, answer) for answer in n_problems])
    comparer.close()
    assert {*outcomes} == {EQUAL, DIFFERENT}
    unread = {answer: n_problems[answer] for answer, one in zip(n_problems, outcomes, strict=True) if one != EQUAL}
    with UNREAD.open(encoding="utf-8", newline="") as stream:
        listed = {row["reference"]: int(row["n_problems"]) for row in csv.DictReader(stream)}
    assert unread == listed
    assert all(normalised(answer) == answer for answer in n_problems)


@pytest.mark.slow
def test_reference_answers_are_read_in_two_stages_as_the_library_reads_them() -> None:
    two, whole = stages()
    data = of_math()
    answers = sorted({p.answer for s in ("train", "validation", "test") for p in data.problems(s)})
    for answer in answers[::4]:  # by itself the library takes half a minute for all
        assert read(answer, two) == read(answer, whole)


def test_where_the_last_box_begins() -> None:
    assert last_box(r"ab \boxed{1}") == (3, "1")
