"""python -m sweep.prepare KIND ...

    gsm_symbolic   files of grade-school problems from templates, with worked solutions   (extra gsm_symbolic)
    teacher        new problems and solutions from a model behind an endpoint             (extra teacher)
    gguf           a folder with safetensors and a tokenizer from a GGUF file              (extra gguf)

`python -m sweep.prepare KIND --help` tells the options of one. What is made is data: a sweep names it by its content.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from sweep.terminal import progress
from sweep.terminal.parser import Parser
from sweep.terminal.words import nearest

KINDS = {kind: f"sweep.prepare.{kind}" for kind in ("gsm_symbolic", "teacher", "gguf")}


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare one thing; the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in KINDS:
        asks = bool(words) and words[0] in ("-h", "--help", "help")
        wrong = f"expected one of {', '.join(KINDS)}{nearest(words[0], KINDS) if words else ''}\n{__doc__}"
        print(__doc__ if asks else wrong, file=sys.stdout if asks else sys.stderr)
        return 0 if asks else 2
    module = importlib.import_module(KINDS[words[0]])
    try:
        for line in module.prepared(parser_of(words[0]).parse_args(words[1:])):
            print(line, flush=True)
    except ValueError as error:
        print(f"{words[0]}: {error}", file=sys.stderr)
        return 2
    return 0


def parser_of(kind: str) -> Parser:
    """The options of one kind."""
    module = importlib.import_module(KINDS[kind])
    parser = Parser(prog=f"python -m sweep.prepare {kind}", description=module.__doc__)
    module.add_options(parser)
    progress.add_option(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
