"""python -m sweep.exact [--out FOLDER] [--replicates N] [--most-pairs N]: the distances of Theorem 6.1 as a table.

FOLDER/theorem.csv has a row a replicate (its own tree, policy and pairs), number of pairs (inf: the objectives
themselves, nothing sampled) and rule by which pairs are labelled; FOLDER/provenance.json says by what it was made.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sweep.disk import write_atomically
from sweep.exact.optima import (
    divergence,
    dpo_policy,
    larger,
    optimum,
    pair_rates,
    preferred,
    regression_policy,
    sampled,
    total_variation,
)
from sweep.exact.tree import Tree, joined, random_tree
from sweep.fields import whole
from sweep.launchers.code import git
from sweep.launchers.execute import versions
from sweep.places import check_writable
from sweep.terminal import progress
from sweep.terminal.parser import Parser, answered, of_type

RULES = {"drawn by advantage": preferred, "larger advantage": larger}
COLUMNS = ("replicate", "rule", "n_pairs", "tv_dpo", "kl_dpo", "tv_regression", "tv_between")
DEPTH, N_CHOICES = 3, 3
PROVENANCE = "provenance.json"


def rows(n_replicates: int, most_pairs: int) -> Iterator[tuple[object, ...]]:
    """The table's rows, in the order of COLUMNS.

    tv_dpo and kl_dpo: from the theorem's optimum to where DPO ends; tv_regression: to where advantage-weighted
    regression ends on as many steps; tv_between: between the two.
    """
    replicates = range(1, n_replicates + 1)
    trees = [random_tree(DEPTH, N_CHOICES, np.random.default_rng([one, 0])) for one in replicates]
    for n in numbers_of_pairs(most_pairs):
        for number, rule in enumerate(RULES):
            rngs = [np.random.default_rng([one, 1 + number, 0 if n == math.inf else int(n)]) for one in replicates]
            for one, distances in zip(replicates, _distances(trees, rule, n, rngs), strict=True):
                yield one, rule, n, *distances


def numbers_of_pairs(most: int) -> list[float]:
    """32, doubled up to `most`, and infinitely many."""
    return [*(2.0**k for k in range(5, int(math.log2(most)) + 1)), math.inf]


def _distances(
    trees: Sequence[Tree], rule: str, n: float, rngs: Sequence[np.random.Generator]
) -> list[tuple[float, ...]]:
    """Of each tree. One search finds the policies of all of them."""
    pairs = [pair_rates(tree, RULES[rule]) for tree in trees]
    steps = [tree.visits[:, None] * tree.choices for tree in trees]
    if n != math.inf:
        pairs = [sampled(rates, int(n), rng) for rates, rng in zip(pairs, rngs, strict=True)]
        steps = [sampled(rates, int(n), rng) for rates, rng in zip(steps, rngs, strict=True)]
    forest = joined(trees)
    by_dpo = np.split(dpo_policy(forest, np.concatenate(pairs)), len(trees))
    by_regression = np.split(regression_policy(forest, np.concatenate(steps)), len(trees))
    return [
        (
            total_variation(tree, optimum(tree), dpo),
            divergence(tree, optimum(tree), dpo),
            total_variation(tree, optimum(tree), regression),
            total_variation(tree, dpo, regression),
        )
        for tree, dpo, regression in zip(trees, by_dpo, by_regression, strict=True)
    ]


def parser() -> Parser:
    """The options."""
    one = Parser(prog="python -m sweep.exact", description=__doc__)
    one.add_argument(
        "--out", type=Path, default=Path("outputs/theorem/table"), metavar="FOLDER", help="folder to write"
    )
    trees = "trees, each with its own policy and pairs"
    one.add_argument("--replicates", type=of_type(int, whole(1)), default=16, metavar="N", help=trees)
    pairs = "largest number of pairs that is drawn, up from 32 by doubling"
    one.add_argument("--most-pairs", type=of_type(int, whole(32)), default=2**16, metavar="N", help=pairs)
    progress.add_option(one)
    return one


def main(words: Sequence[str] | None = None) -> int:
    asked = answered(parser(), words, "exact")
    torch.set_num_threads(1)  # the tables are small
    path = asked.out / "theorem.csv"
    try:
        check_writable(asked.out, "--out")
        _check_ours(path)
    except ValueError as error:
        print(f"exact: {error}", file=sys.stderr)
        return 2
    began, table = datetime.now(UTC), io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    n = len(numbers_of_pairs(asked.most_pairs)) * len(RULES) * asked.replicates
    for row in progress.counted(rows(asked.replicates, asked.most_pairs), "rows of the table", n):
        writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row])
    asked.out.mkdir(parents=True, exist_ok=True)
    write_atomically(path, table.getvalue())
    said = {"commands": [_command(asked.out, asked.replicates, asked.most_pairs)], **_made(began)}
    write_atomically(asked.out / PROVENANCE, json.dumps(said, indent=1, sort_keys=True))
    print(path)
    return 0


def _check_ours(path: Path) -> None:
    """Refuse to replace a file that this command did not write."""
    there = [one for one in (path, path.with_name(PROVENANCE)) if os.path.lexists(one)]
    is_ours = path.is_file() and path.read_bytes().startswith(",".join(COLUMNS).encode())
    if there and not is_ours:
        raise ValueError(
            f"--out {path.parent}: {there[0].name} there was not written by sweep.exact: it is not replaced; give "
            "another folder with --out"
        )


def _command(out: Path, n_replicates: int, most_pairs: int) -> str:
    return f"python -m sweep.exact --out {shlex.quote(str(out))} --replicates {n_replicates} --most-pairs {most_pairs}"


def _made(began: datetime) -> dict[str, Any]:
    return {
        "first_run": began.isoformat(timespec="seconds"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_commit": git().get("commit"),
        "is_dirty": git().get("is_dirty"),
        "python": sys.version.split()[0],
        "versions": versions(),
    }


if __name__ == "__main__":
    sys.exit(main())
