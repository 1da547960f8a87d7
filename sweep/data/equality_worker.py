"""A process that compares answers and can be killed: the other end of `sweep.data.equality`.

It is a program by itself, so that nothing but math-verify and SymPy, or the module of the user's function, is loaded
beside the texts that a model wrote.
The kernel ends it (SIGPROF) once a comparison has used its time on a processor, whatever the library is doing; the
library's own time limits are Python signal handlers, which long arithmetic never lets run, and are switched off.

    in     a line of JSON for each comparison: [reference, answer]
    out    `ready`, then a line for each comparison: equal, different or out_of_memory
"""

import gc
import importlib
import json
import logging
import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

EQUAL, DIFFERENT, OUT_OF_MEMORY = "equal", "different", "out_of_memory"
SLACK = 2  # memory is refused at this multiple of the limit, so that what passes the limit is seen and counted


def main(seconds: float, most_bytes: int, function: str | None = None) -> None:
    """Compare until the input ends, or a comparison takes more than `seconds` or `most_bytes`.

    Args:
        function: `module:name` of what compares; None for math-verify.
    """
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    logging.disable(logging.CRITICAL)  # a warning for every parse whose own time limit is off
    is_equal = compared if function is None else imported(function)
    if function is None:
        compared("1", "2")  # the grammar's tables are made once
        gc.freeze()  # and, with the libraries, never searched for what can be given back
    resource.setrlimit(resource.RLIMIT_AS, (SLACK * most_bytes, SLACK * most_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    print("ready", file=out)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            outcome = EQUAL if is_equal(*json.loads(line)) else DIFFERENT
        except MemoryError:
            outcome = OUT_OF_MEMORY
        if peak_bytes() > most_bytes:
            outcome = OUT_OF_MEMORY
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(outcome, file=out)
        if outcome == OUT_OF_MEMORY:  # what it holds is not given back: another process takes its place
            return


def imported(function: str) -> Callable[[str, str], Any]:
    """The function that `module:name` names."""
    module, _, name = function.partition(":")
    found: Callable[[str, str], Any] = getattr(importlib.import_module(module), name)
    return found


def compared(reference: str, answer: str) -> bool:
    """Whether the two say the same; answers that the grammar cannot read equal nothing."""
    from math_verify import verify

    return bool(verify(parsed(reference), parsed(answer), timeout_seconds=None))


@lru_cache(maxsize=1024)
def parsed(answer: str) -> Any:
    """The expressions that an answer may be; empty where it is none."""
    from math_verify import LatexExtractionConfig, parse

    quicken_library()
    # LaTeX by its grammar alone: the library's reader of plain expressions is Python's own `eval`
    config = [LatexExtractionConfig(boxed_match_priority=-1)]
    return parse(f"${answer}$", config, fallback_mode="no_fallback", parsing_timeout=None)


@lru_cache(maxsize=1)
def quicken_library() -> None:
    """Spare math-verify the two searches that take most of its time, where their end is known without them."""
    from latex2sympy2_extended.antlr_parser import PSParser
    from math_verify import grader

    PSParser.math = in_two_stages(PSParser.math)
    grader.sympy_symbolic_eq = unless_they_differ(grader.sympy_symbolic_eq)


def in_two_stages(rule: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The rule for a whole text, which looks at all that it is inside of only where it cannot do without.

    Without that ANTLR's parser finds the tree that it would find with it, or a syntax error (antlr4,
    `PredictionMode.SLL`; Parr, Harwell and Fisher, Adaptive LL(*) Parsing, OOPSLA 2014, section 3.2).
    """
    from antlr4.atn.PredictionMode import PredictionMode

    @wraps(rule)
    def read(parser: Any) -> Any:
        parser.getTokenStream().fill()  # a character that is no token's is an error for good: reading on would skip it
        parser._interp.predictionMode = PredictionMode.SLL
        try:
            return rule(parser)
        except Exception:  # the library raises no other for a syntax error
            parser.reset()
            parser._interp.predictionMode = PredictionMode.LL
            return rule(parser)

    return read


def unless_they_differ(is_same: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The rule that simplifies a difference to see whether it is 0, asked only where the digits leave that open."""

    @wraps(is_same)
    def compare(one: Any, other: Any) -> Any:
        return False if differ(one, other) else is_same(one, other)

    return compare


def differ(one: Any, other: Any) -> bool:
    """Whether both are numbers, and the first digits of their difference are known and not all 0."""
    from sympy import Add, Expr, Float, Mul, NumberSymbol, Pow, Rational, preorder_traversal

    plain = (Add, Mul, Pow, Rational, Float, NumberSymbol)  # what SymPy bounds the digits of: no integral, no limit
    if not all(isinstance(x, Expr) and all(isinstance(n, plain) for n in preorder_traversal(x)) for x in (one, other)):
        return False
    try:
        found = (one - other).evalf(2)
    except Exception:  # of a size that has no digits, for one: whatever it is, the library has an answer to it
        return False
    return isinstance(found, Float) and found != 0 and found._prec > 1  # more than its first bit is sure


def peak_bytes() -> int:
    """The most address space that this process ever had."""
    with open("/proc/self/status", encoding="ascii") as status:
        found = re.search(r"^VmPeak:\s+(\d+) kB", status.read(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
