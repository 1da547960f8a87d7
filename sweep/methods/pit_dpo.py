"""DPO to the pit: a whole right solution against a wrong one that is cut off behind its pit.

The paper's practical pairs (section 4.1): both sides start at the bare problem, and nothing after the pit is blamed.
Those of step_dpo.py, which share the prefix before the pit, follow its Theorem 6.1. The loss is that of dpo.py.
"""

from __future__ import annotations

from sweep.data.records import Credit, Pair
from sweep.methods.dials import WHOLE
from sweep.methods.material import Material, Method
from sweep.methods.step_dpo import capped, charged_step

DIALS = (*WHOLE, "pit_rule", "pit_threshold", "no_pit")


def pairs(material: Material) -> list[Pair]:
    """One pair a wrong trace with a pit, at most max_pairs_per_problem of them a problem; the right solution is drawn
    at random."""

    def up_to_the_pit(credit: Credit) -> Pair | None:
        i, good = charged_step(credit, material.dials), material.solutions_of.get(credit.problem_id)
        if i is None or not good:
            return None
        rejected = "".join(material.steps(credit.text)[: i + 1])
        chosen = good[material.rng.integers(len(good))]
        is_whole = rejected == credit.text
        return Pair(material.prompts[credit.problem_id], chosen, rejected, True, is_whole, credit.problem_id)

    return capped(material, up_to_the_pit)


ENTRIES = {"pit_dpo": Method(pairs, start="sft", needs="advantages", is_preference=True, dials=DIALS)}
