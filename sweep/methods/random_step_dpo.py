"""A control for per-step credit: the same pairs, at a random step instead of the pit.

The step is drawn from those up to the pit, since no rollout beyond it succeeded and so no correct
solution is known to share a longer prefix.
"""

from __future__ import annotations

from sweep.data.records import Credit, Pair
from sweep.methods.dials import STEP
from sweep.methods.material import Material, Method
from sweep.methods.step_dpo import capped, charged_step, pair_at


def pairs(material: Material) -> list[Pair]:
    """One pair a wrong trace, at a step drawn uniformly from 0 to the pit."""
    dials = material.dials

    def anywhere(credit: Credit) -> Pair | None:
        last = charged_step(credit, dials)
        return None if last is None else pair_at(material, credit, int(material.rng.integers(last + 1)))

    return capped(material, anywhere)


ENTRIES = {"random_step_dpo": Method(pairs, start="sft", needs="advantages", is_preference=True, dials=STEP)}
