"""python -m tests.mutation MODULE TESTFILE...: which changes of a module no test notices. Not part of the suite.

One change at a time (a comparison turned, + and - swapped, a constant one more, a condition negated, a result left
out) is written to a copy of the tree, and the tests are run there until the first fails.
"""
from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
SWAPPED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
}  # fmt: skip
COPIED = ("sweep", "analysis", "tests", "conf", "slurm", "pyproject.toml", "README.md", "Makefile")


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """(line, what was changed, the changed source) of every mutant."""
    n_nodes = sum(1 for _ in ast.walk(ast.parse(source)))
    for place in range(n_nodes):
        tree = ast.parse(source)
        node = next(node for number, node in enumerate(ast.walk(tree)) if number == place)
        before = ast.unparse(node) if isinstance(node, ast.expr | ast.stmt) else ""
        if (change := _change(node)) is not None:
            change()
            what = f"{before} -> {ast.unparse(node)}"
            yield getattr(node, "lineno", 0), what, ast.unparse(ast.fix_missing_locations(tree))


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
    if isinstance(node, ast.Return) and node.value is not None:
        return lambda: setattr(node, "value", ast.Constant(None))
    return None


def is_noticed(folder: Path, tests: list[str]) -> bool:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, timeout=600, check=False).returncode != 0
    except subprocess.TimeoutExpired:  # a loop without an end
        return True


def main(module: str, tests: list[str]) -> int:
    """Print every mutant that no test notices, and the figure; 1 where there is one."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        source_text = (ROOT / module).read_text(encoding="utf-8")
        if is_noticed(folder, tests):
            raise SystemExit(f"{' '.join(tests)} fail before any change")
        found, survivors = 0, 0
        for line, what, text in mutants(source_text):
            found += 1
            (folder / module).write_text(text, encoding="utf-8")
            if not is_noticed(folder, tests):
                survivors += 1
                print(f"{module}:{line}: not noticed: {what}", flush=True)
        print(f"{module}: {found - survivors} of {found} changes noticed by {' '.join(tests)}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
