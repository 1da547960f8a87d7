"""python -m sweep.prepare KIND ...

    gsm_symbolic   files of grade-school problems from templates, with worked solutions   (extra gsm_symbolic)
    teacher        new problems and solutions from a model behind an endpoint             (extra teacher)
    gguf           a folder with safetensors and a tokenizer from a GGUF file              (extra gguf)

`python -m sweep.prepare KIND --help` tells the options of one. What is made is data: a sweep names it by its content.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

KINDS = {kind: f"sweep.prepare.{kind}" for kind in ("gsm_symbolic", "teacher", "gguf")}


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare one thing; the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in KINDS:
        asks = bool(words) and words[0] in ("-h", "--help", "help")
        print(
            __doc__ if asks else f"expected one of {', '.join(KINDS)}\n{__doc__}",
            file=sys.stdout if asks else sys.stderr,
        )
        return 0 if asks else 2
    module = importlib.import_module(KINDS[words[0]])
    parser = argparse.ArgumentParser(prog=f"python -m sweep.prepare {words[0]}", description=module.__doc__)
    module.add_options(parser)
    try:
        for line in module.prepared(parser.parse_args(words[1:])):
            print(line, flush=True)
    except ValueError as error:
        print(f"{words[0]}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
