"""A control for the negatives: likelihood of the chosen steps of per-step DPO's pairs, and no more."""

from __future__ import annotations

from sweep.data.records import Row
from sweep.methods.dials import STEP
from sweep.methods.material import Material, Method
from sweep.methods.step_dpo import pairs


def rows(material: Material) -> list[Row]:
    """The chosen side of each pair as a training row at the same prefix."""
    return [Row(p.prefix, p.chosen, p.is_chosen_final, p.problem_id) for p in pairs(material)]


ENTRIES = {"chosen_sft": Method(rows, start="sft", needs="advantages", is_preference=False, dials=STEP)}
