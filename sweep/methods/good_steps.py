"""Likelihood of the steps that raise the chance of the answer, out of right and wrong solutions alike.

The advantage filter as the paper's first author tells it (lecture 10 of Stanford CS224R, 2 May 2025): a step is kept
where its advantage is above 0, and the loss is on that step alone. `source=self_filtered` is the paper's own account
(Fig. 11), which keeps or drops whole solutions.
"""

from __future__ import annotations

import numpy as np

from sweep.data.credit import advantages
from sweep.data.records import Credit, Row
from sweep.methods.material import Material, Method


def rows(material: Material) -> list[Row]:
    """A row each distinct prefix and step, in the order of the credits; the text before the step is prefix.

    A step behind the last one with a q_value has no advantage and no row.
    """
    kept: dict[Row, None] = {}
    for credit in material.credits:
        steps = material.steps(credit.text)
        for i, gain in enumerate(gains(credit)):
            if gain > 0:
                prefix = material.prompts[credit.problem_id] + "".join(steps[:i])
                kept.setdefault(Row(prefix, steps[i], i == len(steps) - 1, credit.problem_id))
    return list(kept)


def gains(credit: Credit) -> list[float]:
    """The advantages of the steps that have a q_value."""
    return [float(a) for a in advantages(np.array(credit.q_values), credit.pass_rate)] if credit.q_values else []


ENTRIES = {
    "good_steps": Method(rows, start="base", needs="advantages", is_preference=False, is_of_all_steps=True),
}
