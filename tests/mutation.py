"""python -m tests.mutation [--sample N] MODULE TESTS...: which changes of a module no test notices. Not of the suite.

One change at a time (a comparison turned, + and - swapped, a constant one more, a condition negated, a result left
out) is written to a copy of the tree, and the tests are run there until the first fails. Large libraries are loaded
once: each run is a fork.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
SWAPPED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
}  # fmt: skip
COPIED = ("sweep", "analysis", "tests", "conf", "slurm", "pyproject.toml", "README.md", "Makefile")
LIBRARIES = ("pandas", "scipy.optimize", "scipy.stats", "torch", "hydra")
LONGEST_SECONDS = 600


def places(source: str) -> list[int]:
    """Which of the nodes, in the order of ast.walk, can be changed."""
    return [place for place, node in enumerate(ast.walk(ast.parse(source))) if _change(node) is not None]


def mutant(source: str, place: int) -> tuple[int, str, str]:
    """(line, what was changed, the changed source) of the mutant at one node."""
    tree = ast.parse(source)
    node = next(node for number, node in enumerate(ast.walk(tree)) if number == place)
    before = ast.unparse(node) if isinstance(node, ast.expr | ast.stmt) else ""
    change = _change(node)
    assert change is not None
    change()
    what = f"{before} -> {ast.unparse(node)}"
    return getattr(node, "lineno", 0), what, ast.unparse(ast.fix_missing_locations(tree))


def _change(node: ast.AST) -> Callable[[], None] | None:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in TURNED:
        return lambda: node.ops.__setitem__(0, TURNED[type(node.ops[0])]())
    if isinstance(node, ast.BinOp) and type(node.op) in SWAPPED:
        return lambda: setattr(node, "op", SWAPPED[type(node.op)]())
    if isinstance(node, ast.BoolOp):
        return lambda: setattr(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return lambda: setattr(node, "value", not node.value)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        more = node.value + 1
        return lambda: setattr(node, "value", more)
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        return lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        return lambda: setattr(node, "value", ast.Constant(None))
    return None


def is_noticed(folder: Path, tests: list[str]) -> bool:
    process = multiprocessing.get_context("fork").Process(target=_run, args=(folder, tests))
    process.start()
    process.join(LONGEST_SECONDS)
    if process.is_alive():  # a loop without an end
        process.kill()
        process.join()
    return process.exitcode != 0


def _run(folder: Path, tests: list[str]) -> None:
    """In a process of its own, which ends with pytest's exit code."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    os.chdir(folder)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # to load them takes longer than most tests
    sys.dont_write_bytecode = True  # two changes within a second have one date
    sys.path = [str(folder), *(path for path in sys.path if Path(path or ".").resolve() != ROOT)]
    for name in [name for name in sys.modules if name.split(".")[0] in COPIED]:
        del sys.modules[name]
    os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])))


def main(module: str, tests: list[str], sample: int | None = None) -> int:
    """Print every mutant that no test notices, and the figure; 1 where there is one.

    Args:
        sample: how many of the mutants are tried, the same ones each time; all where None.
    """
    for name in LIBRARIES:
        importlib.import_module(name)
    source_text = (ROOT / module).read_text(encoding="utf-8")
    every = places(source_text)
    if sample is not None and sample < len(every):
        every = [every[place] for place in sorted(random.Random(0).sample(range(len(every)), sample))]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        if is_noticed(folder, tests):
            raise SystemExit(f"{' '.join(tests)} fail before any change")
        survivors = 0
        for line, what, text in (mutant(source_text, place) for place in every):
            (folder / module).write_text(text, encoding="utf-8")
            if not is_noticed(folder, tests):
                survivors += 1
                print(f"{module}:{line}: not noticed: {what}", flush=True)
        print(f"{module}: {len(every) - survivors} of {len(every)} changes noticed by {' '.join(tests)}", flush=True)
    return 1 if survivors else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module")
    parser.add_argument("tests", nargs="+", help="files or names of tests, as pytest takes them")
    parser.add_argument("--sample", type=int, help="how many changes are tried, drawn with a fixed seed")
    asked = parser.parse_args()
    sys.exit(main(asked.module, asked.tests, asked.sample))
