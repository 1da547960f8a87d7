"""python -m tests.mutation MODULE[,MODULE...] TESTS...: which changes of a module no test notices. Not of the suite.

One change at a time (a comparison turned, + and - swapped, a constant one more, a condition negated, a result left
out) is made to the module as it is loaded, in a fork of one process in which the tests have been collected, have passed
and hold what they share. Only tests that reach the changed line are run, the quickest first, until one fails.
A test that starts Python anew sees no change: it is no use here.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import inspect
import multiprocessing
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

ROOT = Path(__file__).parents[1]
ASIDE = pytest.StashKey[dict[Any, Any]]()  # the nodes whose fixtures are up while tests of other files run
LONGEST_SECONDS, MOST_CPU_SECONDS = 600, 60
TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
SWAPPED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
}  # fmt: skip


def places(source: str) -> list[int]:
    """Which of the nodes, in the order of ast.walk, can be changed."""
    return [place for place, node in enumerate(ast.walk(ast.parse(source))) if _change(node) is not None]


def mutant(source: str, place: int) -> tuple[int, str, ast.Module]:
    """(line, what was changed, the changed source's tree) of the mutant at one node."""
    tree = ast.parse(source)
    node = next(node for number, node in enumerate(ast.walk(tree)) if number == place)
    before = ast.unparse(node) if isinstance(node, ast.expr | ast.stmt) else ""
    change = _change(node)
    assert change is not None
    change()
    what = f"{before} -> {ast.unparse(node)}"
    return getattr(node, "lineno", 0), what, ast.fix_missing_locations(tree)


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


@dataclass
class Mutations:
    """A plugin of pytest that, in place of the tests' run, tries every change of the modules.

    Args:
        sample: how many changes of a module are tried, the same ones each time; all where None.
        lines: those alone are changed, to try again what was not noticed; all where empty.
    """

    modules: list[str]
    sample: int | None = None
    lines: frozenset[int] = frozenset()
    n_survivors: int = 0

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        files = {str(ROOT / module) for module in self.modules}
        reached = {item: _reached(item, session, files) for item in session.items}
        for module in self.modules:
            self._try(module, session, reached)
        return True

    def _try(self, module: str, session: pytest.Session, reached: dict[pytest.Item, Reach]) -> None:
        file = str(ROOT / module)
        source = Path(file).read_text(encoding="utf-8")
        loaded = importlib.import_module(module.removesuffix(".py").replace("/", "."))
        of_file = {item: one.of(file) for item, one in reached.items()}
        every, n_noticed = places(source), 0
        if self.sample is not None and self.sample < len(every):
            every = [every[place] for place in sorted(random.Random(0).sample(range(len(every)), self.sample))]
        changes = (mutant(source, place) for place in every)
        tried = [one for one in changes if not self.lines or one[0] in self.lines]
        for line, what, tree in tried:
            items = sorted(_of_line(line, source, of_file), key=lambda item: reached[item].seconds)
            if items and is_noticed(loaded, compile(tree, file, "exec"), items, session):
                n_noticed += 1
            else:
                print(f"{module}:{line}: not noticed{'' if items else ', not reached'}: {what}", flush=True)
        self.n_survivors += len(tried) - n_noticed
        print(f"{module}: {n_noticed} of {len(tried)} changes noticed", flush=True)


@dataclass(frozen=True)
class Reach:
    """What a test needs and which lines, (file, number), it runs through."""

    seconds: float
    lines: frozenset[tuple[str, int]]

    def of(self, file: str) -> set[int]:
        return {number for name, number in self.lines if name == file}


def _reached(item: pytest.Item, session: pytest.Session, files: set[str]) -> Reach:
    lines: set[tuple[str, int]] = set()

    def inside(frame: FrameType, event: str, _: Any) -> Any:
        lines.add((frame.f_code.co_filename, frame.f_lineno))
        return inside

    began = time.process_time()
    sys.settrace(lambda frame, event, _: inside if frame.f_code.co_filename in files else None)
    try:
        reports = _reports(item, session)
    finally:
        sys.settrace(None)
    if any(report.failed for report in reports):
        raise SystemExit(f"{item.nodeid} fails before any change: {[r.longreprtext for r in reports if r.failed]}")
    return Reach(time.process_time() - began, frozenset(lines))


def _reports(item: pytest.Item, session: pytest.Session) -> list[pytest.TestReport]:
    """One test's run; what the tests of its file, and those of others, share stays."""
    stack, chain = session._setupstate.stack, item.listchain()
    aside = session.stash.setdefault(ASIDE, {})
    for node in [node for node in stack if node not in chain]:
        aside[node] = stack.pop(node)
    for node in [node for node in chain if node in aside]:
        stack[node] = aside.pop(node)
    same_file = [one for one in session.items if one is not item and one.path == item.path]
    following = next(iter(same_file or [one for one in session.items if one is not item]), None)
    return runtestprotocol(item, log=False, nextitem=following)


def _of_line(line: int, source: str, reached: dict[pytest.Item, set[int]]) -> list[pytest.Item]:
    """The tests that run through the innermost statement of a line, or the function whose default value it is."""
    tree = ast.parse(source)
    around = [n for n in ast.walk(tree) if isinstance(n, ast.stmt) and n.lineno <= line <= (n.end_lineno or n.lineno)]
    if not any(isinstance(node, ast.FunctionDef) for node in around):  # runs when the module is loaded
        return [item for item, lines in reached.items() if lines]
    inner = max(around, key=lambda node: node.lineno)
    first = inner.body[0].lineno if isinstance(inner, ast.FunctionDef) else inner.lineno
    own = set(range(first, (inner.end_lineno or first) + 1))
    return [item for item, lines in reached.items() if lines & own]


def is_noticed(loaded: ModuleType, code: Any, items: list[pytest.Item], session: pytest.Session) -> bool:
    """Whether a test fails, or does not end, where the module is what `code` makes of it."""
    process = multiprocessing.get_context("fork").Process(target=_run, args=(loaded, code, items, session))
    process.start()
    process.join(LONGEST_SECONDS)
    if process.is_alive():  # it waits for what does not come
        process.kill()
        process.join()
    return process.exitcode != 0


def _run(loaded: ModuleType, code: Any, items: list[pytest.Item], session: pytest.Session) -> None:
    """In a process of its own, which ends with 1 where a test fails."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_SECONDS, MOST_CPU_SECONDS))  # a loop without an end
    try:
        replace(loaded, code)
        is_bad = any(report.failed for item in items for report in _reports(item, session))
    except BaseException:  # a change that cannot even be loaded
        os._exit(1)
    os._exit(int(is_bad))


def replace(loaded: ModuleType, code: Any) -> None:
    """Make a loaded module what `code` makes of it, for all who hold its functions, classes and values already."""
    before = dict(vars(loaded))
    exec(code, vars(loaded))
    for name, old in before.items():
        new = vars(loaded).get(name)
        if name.startswith("__") or new is old:
            continue
        if inspect.isclass(old) and old.__module__ == loaded.__name__ and inspect.isclass(new):
            for part, value in list(vars(new).items()):
                if part not in ("__dict__", "__weakref__", "__doc__", "__module__"):
                    with contextlib.suppress(AttributeError, TypeError):
                        setattr(old, part, value)
            setattr(loaded, name, old)
            continue
        was, now = inspect.unwrap(old) if callable(old) else old, inspect.unwrap(new) if callable(new) else new
        if inspect.isfunction(was) and inspect.isfunction(now) and was.__module__ == loaded.__name__:
            was.__code__, was.__defaults__, was.__kwdefaults__ = now.__code__, now.__defaults__, now.__kwdefaults__
        for holder in _holders():
            if vars(holder).get(name) is old:
                setattr(holder, name, new)


def _holders() -> Iterator[ModuleType]:
    for module in list(sys.modules.values()):
        if str(getattr(module, "__file__", None) or "").startswith(
            (f"{ROOT}/sweep", f"{ROOT}/analysis", f"{ROOT}/tests")
        ):
            yield module


def main(modules: list[str], tests: list[str], sample: int | None, lines: frozenset[int]) -> int:
    """Print every change that no test notices, and the figures; 1 where there is one.

    Args:
        tests: words for pytest: files, names of tests, -k.
    """
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # to load them takes longer than most tests
    mutations = Mutations(modules, sample, lines)
    options = ["-s", "-p", "no:cacheprovider", "-o", "tmp_path_retention_policy=none"]
    code = pytest.main([*options, *tests], plugins=[mutations])
    return int(code) if code > pytest.ExitCode.TESTS_FAILED else int(mutations.n_survivors > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", help="sweep/plan.py, or several with commas between")
    parser.add_argument("tests", nargs="+", help="files or names of tests, as pytest takes them; -k behind --")
    parser.add_argument("--sample", type=int, help="how many changes of a module are tried, drawn with a fixed seed")
    parser.add_argument(
        "--lines", type=int, action="append", default=[], help="change this line alone; may be repeated"
    )
    asked = parser.parse_args()
    sys.exit(main(asked.modules.split(","), asked.tests, asked.sample, frozenset(asked.lines)))
