"""Grade-school problems without limit, from the templates of reasoning-gym's gsm_symbolic, with worked solutions.

Written are train, validation and test problems of most templates, unseen problems of the others, and facts.json. No
question is written twice, whatever file it is in. What is wrong with a worked solution is counted by its kind and by
file; the sweep's verifier leaves out a train problem whose solution ends in another answer, and counts it.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sweep.data.problem_rows import heard
from sweep.disk import write_atomically
from sweep.prepare.faults import MARK, NO_ANSWER_LINE, faults
from sweep.prepare.out import FACTS, check_out
from sweep.terminal.progress import bar

SIZES = {"test": 2_000, "unseen": 2_000, "validation": 1_500, "train": 131_072}
N_UNSEEN_TEMPLATES = 10
BATCH = 4_096
MARK_OF_FACTS = "reasoning_gym"
MOST_REPEATS = 50  # questions that were asked before, for one that was not, before giving up
SHOWN_OF_A_FAULT = 3
ASKS_FOR_A_NUMBER = " Give the result as your final answer. Do not include units."  # the prompt's to say


@dataclass(frozen=True)
class Made:
    """A problem of a template; faults: what is wrong with the solution."""

    question: str
    solution: str
    answer: str
    template: int
    faults: list[str]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("data/gsm_symbolic"), help="the folder to write")
    seed = "starts the drawing: the same again, the same problems"
    parser.add_argument("--seed", type=int, default=0, metavar="N", help=seed)
    unseen = "templates of about 85 of which no training problem is made, for evaluation=unseen"
    parser.add_argument("--unseen-templates", type=int, default=N_UNSEEN_TEMPLATES, metavar="N", help=unseen)
    for split, n in SIZES.items():
        parser.add_argument(f"--{split}", type=int, default=n, metavar="N", help=f"{split} problems to make")


def prepared(options: argparse.Namespace) -> Iterator[str]:
    """Write the files; lines to tell of it.

    Raises:
        ValueError: reasoning-gym is not installed, a size that cannot be, or templates without that many problems.
    """
    sizes = {split: int(getattr(options, split)) for split in SIZES}
    if min(sizes.values()) < 0 or options.seed < 0:
        raise ValueError(f"expected a seed and sizes of 0 or more, found --seed {options.seed} and {sizes}")
    check_out(options.out, [f"{split}.jsonl" for split in SIZES], MARK_OF_FACTS)
    version, stream = _stream(options.seed)
    templates = sorted({template for template, _ in (next(stream) for _ in range(BATCH))})
    n_unseen = options.unseen_templates
    if not 0 <= n_unseen < len(templates):
        raise ValueError(
            f"--unseen-templates {n_unseen}: expected 0 to {len(templates) - 1}, of {len(templates)} templates"
        )
    rng = np.random.default_rng(options.seed)
    unseen = sorted(int(one) for one in rng.choice(templates, size=n_unseen, replace=False))
    made = _made(_stream(options.seed)[1], sizes, set(unseen))
    facts: dict[str, Any] = {MARK_OF_FACTS: version, "seed": options.seed, "unseen_templates": unseen, "files": {}}
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out / FACTS, json.dumps(facts))
    for split, problems in made.items():
        told = "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in problems)
        write_atomically(options.out / f"{split}.jsonl", told)
        facts["files"][split] = told_of(problems)
        yield f"{options.out / split}.jsonl: {summary(problems)}"
    write_atomically(options.out / FACTS, json.dumps(facts, ensure_ascii=False, indent=1) + "\n")


def told_of(problems: list[Made]) -> dict[str, Any]:
    """Counts of a file's problems and of their faults, and a few solutions with each fault."""
    shown: dict[str, list[str]] = {}
    for one in problems:
        for fault in one.faults:
            if len(shown.setdefault(fault, [])) < SHOWN_OF_A_FAULT:
                shown[fault].append(one.solution)
    counts = Counter(fault for one in problems for fault in one.faults)
    return {
        "n_problems": len(problems),
        "n_templates": len({one.template for one in problems}),
        "n_faulty": sum(bool(one.faults) for one in problems),
        "faults": dict(counts.most_common()),
        "examples": shown,
    }


def summary(problems: list[Made]) -> str:
    told = told_of(problems)
    kinds = "; ".join(f"{n} {fault}" for fault, n in told["faults"].items()) or "none"
    n, n_faulty = told["n_problems"], told["n_faulty"]
    return f"{n} problems of {told['n_templates']} templates, {n_faulty} with a fault in the worked solution: {kinds}"


def problem_of(template: int, example: dict[str, Any]) -> Made:
    """One of the package's examples; a solution without a line that states the answer is given one, and counted."""
    answer, solution = str(example["answer"]), str(example["metadata"]["answer_cot"]).strip()
    found = faults(solution, answer)
    if NO_ANSWER_LINE in found:
        solution = f"{solution}\n{MARK}{answer}"
    return Made(str(example["question"]).removesuffix(ASKS_FOR_A_NUMBER), solution, answer, template, found)


def _made(
    stream: Iterator[tuple[int, dict[str, Any]]], sizes: dict[str, int], unseen: set[int]
) -> dict[str, list[Made]]:
    """For each split that many problems, no question of which is asked twice."""
    made: dict[str, list[Made]] = {split: [] for split in sizes if sizes[split]}
    with bar("making problems", sum(sizes.values())) as shown:
        _fill(made, stream, unseen, sizes, shown.update)
    return made


def _fill(
    made: dict[str, list[Made]],
    stream: Iterator[tuple[int, dict[str, Any]]],
    unseen: set[int],
    sizes: dict[str, int],
    tell: Callable[[], object],
) -> None:
    asked: set[str] = set()
    n_repeats = 0
    while wanted := [split for split in made if len(made[split]) < sizes[split]]:
        template, example = next(stream)
        split = next((one for one in wanted if (one == "unseen") == (template in unseen)), None)
        if split is None:
            continue
        problem = problem_of(template, example)
        if (content := heard(problem.question)) in asked:
            n_repeats += 1
            if n_repeats > MOST_REPEATS * (len(asked) + 100):
                raise ValueError(
                    f"{n_repeats} questions were asked before, and {wanted[0]} wants "
                    f"{sizes[wanted[0]] - len(made[wanted[0]])} more: the templates have no more; ask for fewer"
                )
            continue
        asked.add(content)
        made[split].append(problem)
        tell()


def _stream(seed: int) -> tuple[str, Iterator[tuple[int, dict[str, Any]]]]:
    """The package's version, and its (template, example) without end, the same for the same seed and version."""
    try:
        import reasoning_gym
    except ImportError as error:
        raise ValueError(f"{error}; install the extra: pip install '.[gsm_symbolic]'") from None
    from importlib.metadata import version

    def examples() -> Iterator[tuple[int, dict[str, Any]]]:
        for part in np.random.SeedSequence(seed).generate_state(2**16):
            data: Any = reasoning_gym.create_dataset("gsm_symbolic", seed=int(part), size=BATCH)
            yield from ((data.task_indices[i], data[i]) for i in range(BATCH))

    return version("reasoning-gym"), examples()
