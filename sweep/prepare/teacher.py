"""New problems and their solutions from a model behind an OpenAI-compatible endpoint, after seed problems.

Each new problem is asked for after a few seeds, then solved several times. It is kept where enough of the solutions
agree on an answer, and where it is like no seed, no problem kept before and no test problem; what is refused is
counted by why. The file has the columns of the seeds' file, so it takes the train file's place in the same dataset.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from sweep.data.answers import BOX, Answers
from sweep.data.problem_files import column, table_of
from sweep.disk import write_atomically
from sweep.prepare.alike import Alike
from sweep.prepare.endpoint import Budget, BudgetSpent, Endpoint, NoAnswer, endpoint_of, told_of
from sweep.prepare.out import FACTS, check_out
from sweep.terminal.progress import bar

NEW_PROBLEM = """Here are {n} problems:

{seeds}

Write one new problem of the same kind and difficulty, with another story and other numbers. It must have one definite \
answer. Say nothing but the problem."""
SOLVE = """{question}

Solve it step by step, one step a line. {ending}"""
MOST_FAILURES = 20  # in a row: then the endpoint is at fault, and not a problem


@dataclass(frozen=True)
class Candidate:
    """A problem that was asked for: its question, None where there was no answer, and its solutions."""

    question: str | None
    solutions: list[str] = field(default_factory=list)
    is_cut_short: bool = False  # by the budget


def add_options(parser: argparse.ArgumentParser) -> None:
    for add in (_file_options, _asking_options, _budget_options):
        add(parser)


def _file_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--endpoint", required=True, metavar="URL", help="http(s)://HOST/v1; the key is in OPENAI_API_KEY")
    add("--model", required=True, metavar="NAME", help="the model's name, as the endpoint calls it")
    add("--seeds", required=True, metavar="FILE", help="problems to write others like: JSONL or Parquet")
    tests = "problems that must not be asked, nor any like them; may be repeated"
    add("--test", action="append", required=True, metavar="FILE", help=tests)
    add("--out", type=Path, required=True, metavar="FOLDER", help="folder to write: train.jsonl, facts.json, cache/")
    add("--question", default="question", metavar="COLUMN", help="column of the files' questions")
    add("--solution", default="solution", metavar="COLUMN", help="column of the files' solutions")
    add("--answer-mark", default="#### ", metavar="TEXT", help=f"what stands before a final answer; {BOX} for a box")
    add("--verifier", choices=("number", "math", "text"), default="number", help="how two answers are compared")


def _asking_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--n", type=int, required=True, help="problems to keep")
    add("--most-asked", type=int, metavar="N", help="problems to ask for at most (default: 4 times --n)")
    add("--n-seeds", type=int, default=3, metavar="N", help="seed problems shown for each new one")
    add("--n-solutions", type=int, default=4, metavar="N", help="solutions asked for of each problem")
    add("--n-agree", type=int, default=3, metavar="N", help="solutions that must have one answer")
    shared = "share of the runs of words of a question that another may have too"
    add("--most-shared", type=float, default=0.5, metavar="SHARE", help=shared)
    add("--temperature", type=float, default=0.8, metavar="T", help="of sampling; 0 always takes the likeliest token")
    add("--max-tokens", type=int, default=1024, metavar="N", help="longest response, in tokens")
    add("--timeout-s", type=float, default=120, metavar="SECONDS", help="to wait for a response")
    add("--parallel", type=int, default=8, metavar="N", help="requests under way at once")
    add("--seed", type=int, default=0, metavar="N", help="starts the choice of seed problems")


def _budget_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--budget-requests", type=int, metavar="N", help="requests at most (default: no limit)")
    add("--budget-tokens", type=int, metavar="N", help="tokens at most, read and written (default: no limit)")
    money = "money at most, in the currency of the prices (default: no limit)"
    add("--budget-money", type=float, metavar="MONEY", help=money)
    add("--price-in", type=float, default=0, metavar="MONEY", help="price of a million tokens read")
    add("--price-out", type=float, default=0, metavar="MONEY", help="price of a million tokens written")


def prepared(options: argparse.Namespace) -> Iterator[str]:
    """Ask until enough is kept, the budget is spent or `most_asked` is reached; lines to tell of it.

    Raises:
        ValueError: an option that cannot be, files that cannot be read, or an endpoint that refuses.
    """
    _check(options)
    check_out(options.out, ["train.jsonl"], "settings")
    given = [*map(Path, (options.seeds, *options.test))]
    if (written := options.out / "train.jsonl").resolve() in [path.resolve() for path in given]:
        raise ValueError(
            f"--out {options.out}: {written} is read as a file of problems; give another folder with --out"
        )
    answers = Answers(options.answer_mark, options.verifier)
    seeds, tests = _questions([options.seeds], options), _questions(options.test, options)
    if options.n_seeds > len(seeds):
        raise ValueError(f"--n-seeds {options.n_seeds}: the seeds' file has {len(seeds)} problems")
    budget = Budget(
        options.budget_requests, options.budget_tokens, options.budget_money, options.price_in, options.price_out
    )
    endpoint = endpoint_of(options.endpoint, options.model, options.out / "cache", budget, options.timeout_s)
    selection = _Selection(answers, options, seeds, tests)
    why = _asked(endpoint, selection, seeds, options)
    told = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in selection.kept)
    facts = {
        "n_kept": len(selection.kept), "n_asked": selection.n_asked, "refused": dict(selection.refused),
        "stopped": why, "settings": _settings(options), "openai": version("openai"), **told_of(endpoint),
    }  # fmt: skip
    write_atomically(options.out / FACTS, json.dumps(facts, ensure_ascii=False, indent=1) + "\n")
    write_atomically(options.out / "train.jsonl", told)
    refused = "; ".join(f"{n} {reason}" for reason, n in selection.refused.most_common()) or "none"
    place, n_kept = options.out / "train.jsonl", len(selection.kept)
    yield f"{place}: {n_kept} problems of {selection.n_asked} asked; refused: {refused}"
    yield f"{why}; {budget.n_requests} requests, {budget.n_in + budget.n_out} tokens, {budget.spent:.4f} of money"


class _Selection:
    """Which candidates are kept, in the order in which they were asked for."""

    def __init__(self, answers: Answers, options: argparse.Namespace, seeds: list[str], tests: list[str]) -> None:
        self.answers, self.options = answers, options
        self.kept: list[dict[str, Any]] = []
        self.refused: Counter[str] = Counter()
        self.n_asked = 0
        self._known = Alike(options.most_shared, are_numbers_one=False)
        self._tests = Alike(options.most_shared, are_numbers_one=True)
        for known, questions in ((self._known, seeds), (self._tests, tests)):
            for question in questions:
                known.add(question)

    def take(self, candidate: Candidate) -> None:
        if candidate.is_cut_short:
            return
        self.n_asked += 1
        reason, row = self._judged(candidate)
        if reason is not None:
            self.refused[reason] += 1
            return
        self._known.add(str(candidate.question))
        self.kept.append(row)

    def _judged(self, candidate: Candidate) -> tuple[str | None, dict[str, Any]]:
        question = candidate.question
        if question is None:
            return "no answer from the endpoint", {}
        if self._tests.is_like_one(question):
            return "like a test problem", {}
        if self._known.is_like_one(question):
            return "like a seed or a problem kept before", {}
        found = [(self.answers.final(text), text) for text in candidate.solutions]
        counts = Counter(answer for answer, _ in found if answer is not None)
        answer, n = counts.most_common(1)[0] if counts else (None, 0)
        if n < self.options.n_agree or list(counts.values()).count(n) > 1:
            return "no answer that enough solutions agree on", {}
        solution = next(text for said, text in found if said == answer)
        columns = {self.options.question: question, self.options.solution: solution}
        return None, {**columns, "agreed": n, "of": len(candidate.solutions)}


def _asked(endpoint: Endpoint, selection: _Selection, seeds: list[str], options: argparse.Namespace) -> str:
    """Ask for candidates, a few at once, until there is a reason to stop: that reason."""
    most, n_failures = options.most_asked or 4 * options.n, 0
    with ThreadPoolExecutor(options.parallel) as pool, bar("problems kept", options.n) as shown:
        for first in range(0, most, options.parallel):
            numbers = range(first, min(most, first + options.parallel))
            for candidate in pool.map(lambda number: _candidate(endpoint, seeds, number, options), numbers):
                selection.take(candidate)
                shown.update(len(selection.kept) - shown.n)
                n_failures = 0 if candidate.question is not None else n_failures + 1
                if len(selection.kept) == options.n:
                    return "enough is kept"
                if candidate.is_cut_short:
                    return "the budget is spent: what is done is kept; raise it and give the same command again"
                if n_failures >= MOST_FAILURES:
                    return (
                        f"{n_failures} problems in a row had no whole answer ({FACTS} counts why): give the same "
                        "command again later, or with more --max-tokens"
                    )
    return f"{most} problems were asked for, the most allowed"


def _candidate(endpoint: Endpoint, seeds: list[str], number: int, options: argparse.Namespace) -> Candidate:
    """The problem of this number, which is the same whatever was asked before it."""
    shown = np.random.default_rng([options.seed, number]).choice(len(seeds), options.n_seeds, replace=False)
    text = NEW_PROBLEM.format(n=options.n_seeds, seeds="\n\n".join(seeds[i] for i in shown))
    how = {"max_tokens": options.max_tokens, "temperature": options.temperature}
    ending = f"Put the final answer into {BOX}{{}}." if options.answer_mark == BOX else (
        f"End with a line that is {options.answer_mark!r} and the final answer."
    )  # fmt: skip
    try:
        question = endpoint.ask(text, number, **how).strip()
        solutions = []
        for sample in range(options.n_solutions):
            try:
                solutions.append(endpoint.ask(SOLVE.format(question=question, ending=ending), sample, **how).strip())
            except NoAnswer:
                continue
        return Candidate(question, solutions)
    except NoAnswer:
        return Candidate(None)
    except BudgetSpent:
        return Candidate(None, is_cut_short=True)


def _questions(paths: list[str], options: argparse.Namespace) -> list[str]:
    found = [column(row, options.question) for path in paths for _, row in table_of(path, "teacher").rows]
    if not all(isinstance(one, str) and one.strip() for one in found) or not found:
        raise ValueError(f"{', '.join(paths)}: expected rows with a text in the column {options.question}")
    return found


def _check(options: argparse.Namespace) -> None:
    least = {"n": 1, "n_seeds": 1, "n_solutions": 1, "n_agree": 1, "max_tokens": 1, "parallel": 1, "seed": 0}
    for name, n in least.items():
        if getattr(options, name) < n:
            raise ValueError(f"--{name.replace('_', '-')} {getattr(options, name)}: expected {n} or more")
    if options.n_agree > options.n_solutions:
        raise ValueError(
            f"--n-agree {options.n_agree} of --n-solutions {options.n_solutions}: expected as many or fewer"
        )
    if not 0 < options.most_shared <= 1:
        raise ValueError(f"--most-shared {options.most_shared}: expected a number above 0 and at most 1")
    if options.budget_money is not None and not options.price_in + options.price_out > 0:
        raise ValueError("--budget-money needs --price-in and --price-out, of a million tokens")


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
