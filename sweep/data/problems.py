"""`dataset=problems`: anybody's problems, from files (`problem_files.py`) whose columns the config names.

The test and validation problems have files of their own, or are drawn from the train file by a hash of their content,
so that the order of the file does not matter. What cannot be used (no answer, asked twice, asked in another split) is
left out, counted by why, and refused where it is more than the config allows.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.data.answers import IN_PROCESSES, MAX_ANSWER, MAX_CHARACTERS, VERIFIERS, Answers
from sweep.data.equality import UNDECIDED, Equality, Limits
from sweep.data.natural_text import NaturalText, Wording
from sweep.data.problem_files import Row, Table, module_content, table_of
from sweep.data.problem_rows import Columns, Read, content_hash, heard, read_row
from sweep.data.prompts import Prompt
from sweep.data.records import Problem
from sweep.data.segments import cutter
from sweep.fields import choice, prose, real, seed_number, text, typed, whole

READING = "1"  # of what a file's bytes mean: bump when the same bytes would give other answers, steps or verdicts


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemsDials(Wording):
    """The dials of conf/dataset/problems.yaml: the files and their columns, the splits, and the verifier."""

    title: str = text(r"\w[\w.+-]*", "letters, digits and _.+-")
    train_path: str = text()
    validation_path: str | None = text(default=None)
    test_path: str | None = text(default=None)
    unseen_path: str | None = text(default=None)
    examples_path: str | None = text(default=None)
    n_validation: int = whole(0, 10**7, default=0)
    n_test: int = whole(0, 10**7, default=0)
    split_seed: int = seed_number(default=0)
    most_left_out: int = whole(0, 10**9, default=0)
    question: str = text(default="question")
    solution: str = text(default="solution")
    answer: str | None = text(default=None)
    choices: str | None = text(default=None)
    verifier: str = choice(*VERIFIERS)
    verifier_function: str | None = text(r"\w+(\.\w+)*:\w+", "MODULE:NAME", default=None)
    answer_mark: str | None = prose(r".", "a text of at least one character", default=None)
    comparison_s: float = real(above=0, most=86400, is_whole_an_int=True, default=5)
    comparison_mb: int = whole(256, 2**20, default=1024)

    def __post_init__(self) -> None:
        for path, n in (("test_path", "n_test"), ("validation_path", "n_validation")):
            if getattr(self, path) is not None and getattr(self, n):
                raise ValueError(
                    f"{n}={getattr(self, n)} with {path}={getattr(self, path)}: expected one of the two, problems "
                    "held out of the train file or a file of their own"
                )
        for verifier, name in (("choice", "choices"), ("function", "verifier_function")):
            if (self.verifier == verifier) != (getattr(self, name) is not None):
                raise ValueError(
                    f"verifier={self.verifier} with {name}={getattr(self, name)}: {name} goes with "
                    f"verifier={verifier}, and with no other"
                )
        if self.examples_path is not None and not self.n_examples:
            raise ValueError(f"n_examples=0 with examples_path={self.examples_path}: say how many of them are shown")
        cutter(self.step, self.step_pattern)

    @property
    def columns(self) -> Columns:
        return Columns(self.title, self.question, self.solution, self.answer, self.choices)


def open_problems(values: Mapping[str, Any]) -> NaturalText:
    """The domain of conf/dataset/problems.yaml; ValueError names a file, a row or a dial that is wrong."""
    dials = typed(ProblemsDials, values, "dataset")
    answers = _answers(dials)
    tables = _tables(dials)
    read, left_out = _read_splits(tables, dials, answers)
    _check_function(answers, read["train"], dials)
    examples = _examples(tables, read, dials, answers)
    shown = {heard(problem.question) for problem, _ in examples}
    train = [(problem, solution) for problem, solution in read["train"] if heard(problem.question) not in shown]
    left_out["shown as an example"] = len(read["train"]) - len(train)
    return NaturalText(
        dials.title,
        _revision(tables, dials),
        {split: [problem for problem, _ in rows] for split, rows in (read | {"train": train}).items()},
        {problem.problem_id: solution for problem, solution in train},
        {reason: n for reason, n in left_out.items() if n},
        Prompt(
            dials.prompt,
            dials.instruction,
            tuple((problem.question, solution) for problem, solution in examples),
            dials.example_end,
            dials.is_chat,
        ),
        answers,
        cutter(dials.step, dials.step_pattern),
    )


def _tables(dials: ProblemsDials) -> dict[str, Table]:
    """The rows of each file, those of the splits that others are compared with first."""
    paths = {
        "test": dials.test_path,
        "unseen": dials.unseen_path,
        "validation": dials.validation_path,
        "train": dials.train_path,
        "examples": dials.examples_path,
    }
    return {name: table_of(path, dials.title) for name, path in paths.items() if path is not None}


def _revision(tables: Mapping[str, Table], dials: ProblemsDials) -> str:
    contents = [f"{name} {table.content}" for name, table in tables.items()]
    if dials.verifier_function is not None:
        contents.append(f"function {module_content(dials.verifier_function, dials.title)}")
    return f"problems-{READING}-{hashlib.sha256(' '.join(contents).encode()).hexdigest()}"


def _answers(dials: ProblemsDials) -> Answers:
    if dials.verifier not in IN_PROCESSES:
        return Answers(dials.answer_mark, dials.verifier)
    longest = MAX_ANSWER if dials.verifier == "math" else MAX_CHARACTERS
    limits = Limits(dials.comparison_s, dials.comparison_mb, longest)
    return Answers(dials.answer_mark, dials.verifier, Equality(limits, function=dials.verifier_function))


def _read_splits(
    tables: Mapping[str, Table], dials: ProblemsDials, answers: Answers
) -> tuple[dict[str, list[Read]], Counter[str]]:
    """The usable rows of each split, and how many rows are not, by why.

    Raises:
        ValueError: more are left out than allowed, or more are to be held out than there are.
    """
    why: list[tuple[str, str]] = []
    taken: dict[str, str] = {}
    read: dict[str, list[Read]] = {}
    for split in [name for name in tables if name != "examples"]:
        # a file of test problems is taken as it is: no two questions of it that differ in punctuation are one
        content = content_hash if split in ("test", "unseen") else heard
        read[split] = _kept(tables[split].rows, split, dials, answers, content, dict(taken), why)
        taken |= {heard(problem.question): f"asked in {split}" for problem, _ in read[split]}
    if len(why) > dials.most_left_out:
        counts = ", ".join(f"{n} {reason}" for reason, n in Counter(reason for _, reason in why).most_common())
        raise ValueError(
            f"dataset {dials.title}: {len(why)} problems cannot be used ({counts}) and "
            f"most_left_out={dials.most_left_out} may be left out ({_shown(why)}); repair the files, or allow as many"
        )
    return _held_out(read, dials), Counter(reason for _, reason in why)


def _shown(why: Sequence[tuple[str, str]]) -> str:
    return "; ".join(f"{where}: {reason}" for where, reason in why[:5]) + ("; ..." if len(why) > 5 else "")


def _kept(
    rows: Sequence[Row],
    split: str,
    dials: ProblemsDials,
    answers: Answers,
    content: Callable[[str], str],
    taken: dict[str, str],
    why: list[tuple[str, str]],
) -> list[Read]:
    """The usable rows whose content is not yet taken; `why` is told where the others are and the reason."""
    kept: list[Read] = []
    for row in rows:
        found = read_row(row, dials.columns, answers)
        if not isinstance(found, str):
            question = found[0].question
            is_unsolved = split in ("train", "examples") and not found[1]
            reason = "no solution" if is_unsolved else taken.get(heard(question)) or taken.get(content(question))
        if isinstance(found, str) or reason is not None:
            why.append((row[0], found if isinstance(found, str) else str(reason)))
            continue
        taken[content(question)] = "asked before"
        kept.append(found)
    return kept


def _held_out(read: Mapping[str, list[Read]], dials: ProblemsDials) -> dict[str, list[Read]]:
    """The same with the problems of splits without a file taken out of train, by a seeded hash of their content."""
    wanted = {"test": dials.n_test, "validation": dials.n_validation}
    pool = read["train"]
    if sum(wanted.values()) > len(pool):
        raise ValueError(
            f"dataset {dials.title}: n_validation={dials.n_validation} and n_test={dials.n_test} of {len(pool)} "
            f"problems can't be held out of {dials.train_path}; ask for fewer"
        )
    ranked = _ranked(pool, dials)
    out = dict(read)
    for split, n in wanted.items():
        if split not in out:
            out[split], ranked = ranked[:n], ranked[n:]
    kept = {problem.problem_id for problem, _ in ranked}
    return {**out, "train": [one for one in pool if one[0].problem_id in kept]}


def _ranked(rows: Sequence[Read], dials: ProblemsDials) -> list[Read]:
    """The same in an order that split_seed and the questions' content decide, and no order of a file."""

    def rank(one: tuple[Problem, str]) -> str:
        return hashlib.sha256(f"{dials.split_seed} {heard(one[0].question)}".encode()).hexdigest()

    return sorted(rows, key=rank)


def _examples(
    tables: Mapping[str, Table], read: Mapping[str, Sequence[Read]], dials: ProblemsDials, answers: Answers
) -> list[Read]:
    """The worked examples: the first of their file, or train problems, and never problems that are evaluated on."""
    n, place = dials.n_examples, dials.examples_path or "the train split"
    if "examples" in tables:
        why: list[tuple[str, str]] = []
        taken = {heard(p.question): f"asked in {split}" for split in read if split != "train" for p, _ in read[split]}
        found = _kept(tables["examples"].rows[:n], "examples", dials, answers, heard, taken, why)
        if why:
            raise ValueError(
                f"dataset {dials.title}: {len(why)} of the first {n} examples cannot be shown ({_shown(why)}); an "
                "example has a solution with an answer, and is in no split that is evaluated"
            )
    else:
        found = _ranked(read["train"], dials)[:n]
    if len(found) < n:
        raise ValueError(f"dataset {dials.title}: n_examples={n} and {place} has {len(found)}; ask for fewer")
    return found


def _check_function(answers: Answers, rows: Sequence[Read], dials: ProblemsDials) -> None:
    """Ask a function of the user's once, so that one that cannot work is found when a sweep is planned."""
    if answers.equality is None or dials.verifier_function is None or not rows:
        return
    first = rows[0][0].answer
    module_content(dials.verifier_function, dials.title)  # a process says less of a module that is not there
    try:
        outcome = answers.equality.outcomes([(first, first)])[0]
    except RuntimeError as error:
        raise ValueError(f"dataset {dials.title}: {error}") from None
    finally:
        answers.equality.close()
    if outcome in UNDECIDED:
        raise ValueError(
            f"dataset {dials.title}: verifier_function={dials.verifier_function}, asked about the reference answer "
            f"{first[:80]!r} and itself, ended with {outcome}; repair it, or give it more comparison_s or comparison_mb"
        )
