"""Answers compared by what they say, in processes that are killed where it takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import math_verify.parser
import pytest
from antlr4.atn.PredictionMode import PredictionMode
from latex2sympy2_extended.antlr_parser import PSParser
from math_verify import grader
from sympy import Integer, srepr

from sweep.data.boxed import normalised
from sweep.data.equality import (
    CRASHED,
    DIFFERENT,
    EQUAL,
    OUT_OF_MEMORY,
    OUT_OF_TIME,
    TOO_LONG,
    Equality,
    Limits,
    n_processes,
)
from sweep.data.equality_worker import compared, differ, in_two_stages, parsed, quicken_library, unless_they_differ

BOMB = "9^{9^{9^{9}}}"


@pytest.fixture(scope="module")
def equality() -> Iterator[Equality]:
    comparer = Equality(Limits(seconds=5, megabytes=1024, n_characters=500))
    yield comparer
    comparer.close()


def outcome(equality: Equality, reference: str, answer: str) -> str:
    return equality.outcomes([(normalised(reference), normalised(answer))])[0]


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        (r"\frac{1}{2}", r"\frac12"),
        (r"\frac{1}{2}", "0.5"),
        (r"\dfrac{1}{2}", "1/2"),
        (r"1\frac{1}{2}", "1 1/2"),
        (r"\frac{\sqrt{2}}{2}", r"\sqrt{2}/2"),
        (r"2\sqrt{3}", r"\sqrt{12}"),
        (r"[1,2)\cup(3,4]", r"\left[1,2\right) \cup \left(3,4\right]"),
        (r"[3,\infty)", r"[3, \infty)"),
        ("3,4", "4, 3"),
        (r"\{1,2\}", r"\{2,1\}"),
        ("(1,2)", r"\left(1, \frac{4}{2}\right)"),
        (r"6\text{ inches}", "6"),
        (r"\$5", "5"),
        ("5", "$5$."),
        (r"50\%", "50"),
        ("1,000", "1000"),
        (r"90^\circ", "90"),
        (r"\text{Evelyn}", "Evelyn"),
        (r"\text{(A)}", "A"),
        ("x=5", "5"),
        ("(x+1)^2", "x^2+2x+1"),
        ("y=2x+3", "2x+3"),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix}1&2\\3&\frac{8}{2}\end{pmatrix}"),
        (r"\pi", "3.141592653589793"),
    ],
)
def test_two_spellings_of_one_answer_are_equal(equality: Equality, reference: str, answer: str) -> None:
    assert outcome(equality, reference, answer) == EQUAL


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        (r"\frac{1}{2}", r"\frac13"),
        (r"\frac{1}{3}", "0.333"),
        ("1", "1 1/2"),
        ("-2", "2"),
        ("5", "5 or 7"),
        ("3", "3x"),
        ("(3,4)", "[3,4]"),
        ("(3,4)", "(4,3)"),
        ("3,4", "3,5"),
        (r"\text{even}", r"\text{odd}"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 3 \end{pmatrix}"),
        ("5", "five)"),
        ("5", r"\frac{5}{"),
        ("5", r"__import__('os').getpid()"),
        ("5", "()"),
        ("5", "\0"),
    ],
)
def test_what_says_something_else_or_nothing_is_different(equality: Equality, reference: str, answer: str) -> None:
    assert outcome(equality, reference, answer) == DIFFERENT


def read(text: str, rule: Callable[[Any], Any]) -> str:
    """What an answer is read as, by this rule for a whole text; all of the tree, the order of its parts included."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PSParser, "math", rule)
        math_verify.parser.parse_latex_cached.cache_clear()
        return srepr(parsed.__wrapped__(text))


def stages() -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """The rule for a whole text in two stages, and as the library has it."""
    quicken_library()
    return PSParser.math, PSParser.math.__wrapped__


@pytest.mark.parametrize(
    "text",
    [
        "5", "(1,2)", r"\frac{1}{2}", r"[1,2)\cup(3,4]", "x=5", "1,2,3", "a;b", r"1<x\le2", "|x|", "f(x)=x^2", "a=b=c",
        r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "x^2+2x+1", r"-x^{n}+\sqrt[3]{2}", r"\{x\in[1,2]\}", r"\text{(A)}",
        "5#6", "5&6", r"\sqrt{2", "x^2+", "", "\0", "x^2\0+1",
    ],
)  # fmt: skip
def test_reading_in_two_stages_finds_what_the_library_finds_or_nothing_where_it_finds_nothing(text: str) -> None:
    two, whole = stages()
    assert read(text, two) == read(text, whole)


@pytest.mark.parametrize(
    ("text", "modes"),
    [("(1,2)", [PredictionMode.SLL]), ("x^2+1", [PredictionMode.SLL, PredictionMode.LL]), ("5#6", [])],
)
def test_a_text_is_read_again_in_full_only_after_a_syntax_error(text: str, modes: list[PredictionMode]) -> None:
    _, whole = stages()
    asked = []

    def noted(parser: Any) -> Any:
        asked.append(parser._interp.predictionMode)
        return whole(parser)

    read(text, in_two_stages(noted))
    assert asked == modes


@pytest.mark.parametrize(
    ("reference", "answer", "n_simplified"),
    [
        (r"2\sqrt{3}", r"\frac{6}{\sqrt{3}}", 0),  # equal by their digits, as math-verify itself finds
        (r"\sqrt{2}", r"\frac{14142135623730950488}{10000000000000000000}", 0),  # differ in the 20th
        ("7", r"39\sqrt{5}", 0),
        (r"\frac{1}{3}", "0.333", 0),
        ("0", r"\sqrt{2}+\sqrt{3}-\sqrt{5+2\sqrt{6}}", 1),  # 0, which no number of digits says
        ("0", r"\sqrt{-2}", 1),
        (r"\frac{1}{3}", r"\int_{0}^{1}xdx", 1),
        ("(x+1)^2", "x^2+2x+1", 1),
        (r"\begin{pmatrix}1\end{pmatrix}", r"\begin{pmatrix}2\end{pmatrix}", 1),
    ],
)
def test_numbers_that_differ_by_their_digits_are_not_simplified_and_every_verdict_is_math_verifys(
    reference: str, answer: str, n_simplified: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    quicken_library()
    whole, asked = grader.sympy_symbolic_eq.__wrapped__, []
    monkeypatch.setattr(grader, "sympy_symbolic_eq", whole)
    verdict = compared(reference, answer)

    def noted(one: Any, other: Any) -> Any:
        asked.append((one, other))
        return whole(one, other)

    monkeypatch.setattr(grader, "sympy_symbolic_eq", unless_they_differ(noted))
    assert (compared(reference, answer), len(asked)) == (verdict, n_simplified)


def test_numbers_whose_digits_cannot_be_had_are_left_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(self: Integer, n_digits: int) -> None:
        raise OverflowError

    assert differ(Integer(7), Integer(2)) and not differ(Integer(7), Integer(7))
    monkeypatch.setattr(Integer, "evalf", endless)
    assert not differ(Integer(7), Integer(2))


def test_matrices_keep_their_rows_and_their_spacing_is_no_difference() -> None:
    rows = r"\begin{pmatrix} 1 & -2 \\ 3 & 4 \end{pmatrix}"
    assert normalised(rows) == r"\begin{pmatrix}1&-2\\3&4\end{pmatrix}"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (r"\dfrac{1}{2}", r"\frac{1}{2}"),
        (r"\left( 1,\, 2 \right)", "(1,2)"),
        (r"\left. x \right|", "x|"),
        (r"x \leftarrow y", r"x\leftarrow y"),
        (r"5 \text{ cm}", r"5\text{cm}"),
        ("2 1/3", r"2\frac{1}{3}"),
        ("1 000", "1 000"),
        ("$3$.", "3"),
        (r"\$3", r"\$3"),
        (" ", ""),
    ],
)
def test_normalised_answers(answer: str, text: str) -> None:
    assert normalised(answer) == text
    assert normalised(text) == text


def test_equal_text_is_equal_and_long_text_is_not_read_without_any_process() -> None:
    nobody = Equality(Limits(5, 1024, 500), program=Path("/no/such/program"))
    assert nobody.outcomes([("((", "(("), ("1", "(" * 10_000), ("1", "1")]) == [EQUAL, TOO_LONG, EQUAL]


def test_a_comparison_that_hangs_is_killed_and_the_next_ones_go_on() -> None:
    short = Equality(Limits(seconds=1, megabytes=1024, n_characters=500))
    try:
        pairs = [("1", BOMB), ("2", r"\frac{4}{2}"), ("3", "4"), ("5", r"10^{10^{10^{10}}}"), ("7", "14/2")]
        assert short.outcomes(pairs) == [OUT_OF_TIME, EQUAL, DIFFERENT, OUT_OF_TIME, EQUAL]
        before = [one.process.pid for one in short._processes]
        assert short.outcomes(pairs) == [OUT_OF_TIME, EQUAL, DIFFERENT, OUT_OF_TIME, EQUAL]  # remembered
        assert [one.process.pid for one in short._processes] == before
        assert len(before) <= n_processes()
    finally:
        short.close()


def test_a_comparison_that_takes_too_much_memory_is_counted_and_its_process_replaced() -> None:
    small = Equality(Limits(seconds=60, megabytes=100, n_characters=500))
    try:
        found = small.outcomes([("1", "2^{3000000000}-2^{2999999999}"), ("2", r"\frac{4}{2}")])
        assert found == [OUT_OF_MEMORY, EQUAL]
    finally:
        small.close()


def program(folder: Path, text: str) -> Path:
    path = folder / "program.py"
    path.write_text(text)
    return path


ECHO = "import os, sys, time\nprint('ready', flush=True)\nfor line in sys.stdin:\n    "


def test_a_process_that_only_sleeps_is_killed_by_the_clock(tmp_path: Path) -> None:
    sleepy = Equality(Limits(0.01, 256, 500), program(tmp_path, ECHO + "time.sleep(600)\n"))
    assert sleepy.outcomes([("1", "2")]) == [OUT_OF_TIME]
    assert sleepy._processes == []


def test_a_process_that_dies_is_replaced(tmp_path: Path) -> None:
    dies = ECHO + "os._exit(3) if 'x' in line else print('different', flush=True)\n"
    fragile = Equality(Limits(60, 256, 500), program(tmp_path, dies))
    assert fragile.outcomes([("1", "x"), ("1", "2"), ("1", "xx"), ("1", "3")]) == [
        CRASHED, DIFFERENT, CRASHED, DIFFERENT,
    ]  # fmt: skip
    fragile.close()


def test_processes_that_do_not_start_are_told_with_their_last_words(tmp_path: Path) -> None:
    broken = Equality(Limits(1, 256, 500), program(tmp_path, "raise SystemExit('no math_verify here')\n"))
    with pytest.raises(RuntimeError, match=r"none starts \(exit status (1|-9)\): no math_verify here; install"):
        broken.outcomes([("1", "2")])
    assert broken._processes == []


def test_a_process_that_ended_with_nothing_to_do_costs_no_verdict(tmp_path: Path) -> None:
    comparer = Equality(Limits(5, 256, 500), program(tmp_path, ECHO + "print('equal', flush=True)\n"))
    assert comparer.outcomes([("1", "2")]) == [EQUAL]
    (one,) = comparer._processes
    one.process.kill()
    one.process.wait(60)
    assert comparer.outcomes([("1", "3")]) == [EQUAL]
    comparer.close()


def test_a_process_whose_owner_is_gone_ends(tmp_path: Path) -> None:
    comparer = Equality(Limits(5, 256, 500), program(tmp_path, ECHO + "print('equal', flush=True)\n"))
    comparer.outcomes([("1", "2")])
    (one,) = comparer._processes
    assert one.process.stdin is not None
    one.process.stdin.close()
    assert one.process.wait(60) == 0
    comparer.close()
