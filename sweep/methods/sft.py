"""Likelihood training (SFT, and RFT on the policy's own verified solutions).

The negative log-likelihood of the continuation's tokens, averaged over the batch's tokens:
a long solution weighs more than a short one, prefix tokens weigh nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweep.data.records import Row
from sweep.methods.material import Material, Method

if TYPE_CHECKING:  # planning a sweep reads this module and must not wait for torch
    from torch import Tensor


def rows(material: Material) -> list[Row]:
    """Whole solutions after the bare problem, at most max_solutions_per_problem of them a problem."""
    cap = material.max_solutions_per_problem
    return [
        Row(material.prompts[problem_id], text, True, problem_id)
        for problem_id in sorted(material.solutions_of)
        for text in material.draw(material.solutions_of[problem_id], cap)
    ]


def sft_loss(logps: Tensor) -> Tensor:
    """Negative log-likelihood of each trained token; the trainer averages over the batch's tokens.

    Args:
        logps: (n_tokens,) log-probability of every continuation token of the batch, rows one
            after the other, prefix tokens left out, EOS included where a row is final.
    Returns:
        (n_tokens,) in nats.
    """
    return -logps


ENTRIES = {
    "sft": Method(rows, start="base", needs="none", is_preference=False),
    "sft_more": Method(rows, start="sft", needs="none", is_preference=False),
}
