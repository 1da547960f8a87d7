"""A process that compares answers and can be killed: the other end of `sweep.data.equality`.

It is a program by itself, so that nothing but math-verify and SymPy, or the module of the user's function, is loaded
beside the texts that a model wrote.
The kernel ends it (SIGPROF) once a comparison has used its time on a processor, whatever the library is doing; the
library's own time limits are Python signal handlers, which long arithmetic never lets run, and are switched off.

    in     a line of JSON for each comparison: [reference, answer]
    out    `ready`, then a line for each comparison: equal, different or out_of_memory
"""

import importlib
import json
import logging
import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from functools import lru_cache
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

    # LaTeX by its grammar alone: the library's reader of plain expressions is Python's own `eval`
    config = [LatexExtractionConfig(boxed_match_priority=-1)]
    return parse(f"${answer}$", config, fallback_mode="no_fallback", parsing_timeout=None)


def peak_bytes() -> int:
    """The most address space that this process ever had."""
    with open("/proc/self/status", encoding="ascii") as status:
        found = re.search(r"^VmPeak:\s+(\d+) kB", status.read(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
