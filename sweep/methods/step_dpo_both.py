"""Per-step DPO whose two sides are both judged: at one prefix, the step of the highest q_value over that of the lowest.

Advantages come from right and wrong solutions alike (the paper's Fig. 10). A prefix that several solutions share has
several next steps; at one prefix their advantages differ as their q_values do. The loss is that of dpo.py.
"""

from __future__ import annotations

from collections import defaultdict

from sweep.data.records import Pair
from sweep.methods.dials import WHOLE
from sweep.methods.material import Material, Method

Rated = dict[str, tuple[float, bool]]  # next step: its q_value, and whether it closes the solution


def pairs(material: Material) -> list[Pair]:
    """One pair a prefix whose next steps differ in q_value, those that differ most first, at most
    max_pairs_per_problem of them a problem."""
    out: list[Pair] = []
    for problem_id, prefixes in sorted(_rated(material).items()):
        made = [pair for before, rated in prefixes.items() if (pair := _pair(material, problem_id, before, rated))]
        drawn = sorted(material.draw(made, len(made)), key=lambda gap_and_pair: -gap_and_pair[0])
        out += [pair for _, pair in drawn[: material.dials.max_pairs_per_problem]]
    return out


def _rated(material: Material) -> dict[str, dict[str, Rated]]:
    """Of each problem, of each prefix, the next steps that have a q_value."""
    found: dict[str, dict[str, Rated]] = defaultdict(lambda: defaultdict(dict))
    for credit in material.credits:
        steps = material.steps(credit.text)
        for i, q_value in enumerate(credit.q_values):
            found[credit.problem_id]["".join(steps[:i])][steps[i]] = q_value, i == len(steps) - 1
    return found


def _pair(material: Material, problem_id: str, before: str, rated: Rated) -> tuple[float, Pair] | None:
    """The gap in q_value and the pair; None where no step is better than another."""
    best, worst = (of(rated, key=lambda step: rated[step][0]) for of in (max, min))
    gap = rated[best][0] - rated[worst][0]
    if gap <= 0 or best.split() == worst.split():
        return None
    prefix = material.prompts[problem_id] + before
    return gap, Pair(prefix, best, worst, rated[best][1], rated[worst][1], problem_id)


ENTRIES = {
    "step_dpo_both": Method(
        pairs, start="sft", needs="advantages", is_preference=True, dials=WHOLE, is_of_all_steps=True
    ),
}
