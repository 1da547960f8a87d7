"""Per-step DPO: prefer a step that leads to the answer over the pit, at their shared prefix.

Pairs follow Theorem 6.1: the prefix is the policy's own wrong solution up to the step before the pit,
rejected is the pit, chosen is how a correct solution with the very same prefix goes on. The loss is
that of dpo.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sweep.data.credit import pit
from sweep.data.records import Credit, Pair
from sweep.methods.dials import STEP, Dials
from sweep.methods.material import Material, Method


def pairs(material: Material) -> list[Pair]:
    """One pair a wrong trace with a pit, at most max_pairs_per_problem of them a problem."""
    dials = material.dials

    def at_the_pit(credit: Credit) -> Pair | None:
        i = charged_step(credit, dials)
        return None if i is None else pair_at(material, credit, i)

    return capped(material, at_the_pit)


def charged_step(credit: Credit, dials: Dials) -> int | None:
    """The pit; where there is none, what dials.no_pit says: None to skip the solution, or its last step."""
    i = pit(np.array(credit.q_values), credit.pass_rate, dials.pit_rule, dials.pit_threshold)
    return len(credit.q_values) - 1 if i is None and dials.no_pit == "last_step" and credit.q_values else i


def capped(material: Material, pair_of: Callable[[Credit], Pair | None]) -> list[Pair]:
    """The pairs that pair_of makes of the credits, each once, capped a problem in random order."""
    out: list[Pair] = []
    for problem_id in sorted(material.credits_of):
        made = [pair_of(credit) for credit in material.credits_of[problem_id]]
        distinct = list(dict.fromkeys(pair for pair in made if pair is not None))
        out += material.draw(distinct, material.dials.max_pairs_per_problem)
    return out


def pair_at(material: Material, credit: Credit, i: int) -> Pair | None:
    """Step i of a wrong trace against how a correct solution goes on from the same prefix.

    None where no good solution shares the prefix, or all that do take the same step.
    """
    dials = material.dials
    steps = material.steps(credit.text)
    before, mistake = "".join(steps[:i]), steps[i]
    # step by step, for a text that starts alike may have no boundary there: "3" and "3.5" after "It costs "
    sharing = [s for s in material.solutions_of[credit.problem_id] if s.startswith(before)]
    goes_on = [s[len(before) :] for s in sharing if material.steps(s)[:i] == steps[:i]]
    firsts = [(material.steps(rest)[0], rest) for rest in goes_on if rest]
    candidates = [(step, rest) for step, rest in firsts if step.split() != mistake.split()]
    if not candidates:
        return None
    if dials.chosen_rule == "shortest":
        step, rest = min(candidates, key=lambda c: (len(c[1].split()), c[1]))
    else:
        step, rest = candidates[material.rng.integers(len(candidates))]
    chosen = rest if dials.chosen_span == "completion" else step
    rejected = "".join(steps[i:]) if dials.rejected_span == "completion" else mistake
    return Pair(
        prefix=material.prompts[credit.problem_id] + before,
        chosen=chosen,
        rejected=rejected,
        is_chosen_final=chosen == rest,
        is_rejected_final=before + rejected == credit.text,
        problem_id=credit.problem_id,
    )


ENTRIES = {"step_dpo": Method(pairs, start="sft", needs="advantages", is_preference=True, dials=STEP)}
