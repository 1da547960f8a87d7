"""What is wrong with a worked solution, as far as a program can tell from its text: counted, never mended."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction

from sweep.data.numbers import normalised_number

NO_ANSWER_LINE = "has no line that states the answer"
OTHER_ANSWER = "ends in another answer"
OTHER_SPELLING = "spells the answer otherwise"
FALSE_EQUATION = "has an equation that does not hold"
NOTHING_DONE = "says that a number equals itself"

MARK = "#### "
TOLERANCE = Fraction(1, 100)  # relative: worked solutions round
LONGEST = 60  # characters of an expression that is worked out

# nothing but arithmetic before an equals sign, and one number behind it
_EQUATION = re.compile(
    r"(?<![\w.,])([-(]*[$€£]?\d[\d.,$€£+*/×÷() -]*?)\s*=\s*[$€£]?(-?\d[\d,]*(?:\.\d+)?)(?![\w%]|\.\d| ?[*/×÷+(])"
)
_GOES_ON_BEFORE = re.compile(r"(?:[-+*/×÷(=%$€£)]|\b(?:of|times|by|plus|minus|x))\s*$")  # the left side is only its end
_ITSELF = re.compile(r"(?<![\d.,+*/×÷-])(?<![+*/×÷-] )(\d+(?:\.\d+)?) ?= ?\1(?![\d.,])")
_OPERATORS: dict[type, Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def faults(solution: str, answer: str) -> list[str]:
    """The kinds of fault in a worked solution of a problem whose answer is known."""
    found = []
    _, mark, last = solution.rpartition(MARK)
    stated = normalised_number(last) if mark else None
    if not mark:
        found.append(NO_ANSWER_LINE)
    elif stated != normalised_number(answer):
        found.append(OTHER_ANSWER)
    elif last.strip() != stated:
        found.append(OTHER_SPELLING)
    if not all(_holds(left, right) for left, right in equations(solution)):
        found.append(FALSE_EQUATION)
    if _ITSELF.search(solution):
        found.append(NOTHING_DONE)
    return found


def equations(solution: str) -> list[tuple[str, str]]:
    """Left and right side of each equation whose left side is arithmetic alone, and whole."""
    return [
        (found[1], found[2])
        for found in _EQUATION.finditer(solution)
        if re.search(r"\d ?[-+*/×÷(]", found[1]) and not _GOES_ON_BEFORE.search(solution[: found.start()])
    ]


def _holds(left: str, right: str) -> bool:
    """Whether an equation holds but for rounding; one that cannot be worked out is given the benefit of the doubt."""
    bare = re.sub(r"[$€£,]", "", left).replace("×", "*").replace("÷", "/").strip()
    try:
        value = _worked_out(ast.parse(bare[:LONGEST], mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError):
        return True
    wanted = Fraction(right.replace(",", ""))
    return abs(value - wanted) <= max(TOLERANCE * abs(wanted), TOLERANCE)


def _worked_out(node: ast.AST) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(str(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_worked_out(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_worked_out(node.left), _worked_out(node.right))
    raise ValueError("no arithmetic")
