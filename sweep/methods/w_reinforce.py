"""W-REINFORCE: learn from wrong solutions with weight 1 and from right ones with little (Zhu et al., arXiv:2506.01347).

Its authors find that pushing wrong solutions down alone keeps a policy's diversity, and that a small weight on right
ones (0.1) is best. Here on one batch of samples of the SFT policy, with the ratio to that policy as importance weight:
at the start its gradient is REINFORCE's, and a wrong solution that is no longer likely is pushed no further.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sweep.methods.grpo import judged_traces
from sweep.methods.material import Method

if TYPE_CHECKING:  # planning a sweep reads this module and must not wait for torch
    from torch import Tensor


def w_reinforce_loss(
    policy_logps: Tensor, reference_logps: Tensor, is_correct: Tensor, pass_rate: Tensor, *, positive_weight: float
) -> Tensor:
    """(n_tokens,) minus the ratio to the sampling policy times the solution's weight: positive_weight or -1.

    Args: as of `grpo_loss`; the pass_rate plays no part.
    """
    weight = is_correct * positive_weight - (1 - is_correct)
    return -weight * (policy_logps - reference_logps).exp()


ENTRIES = {
    "w_reinforce": Method(
        judged_traces, start="sft", needs="samples", is_preference=False, dials=("positive_weight",),
        loss_of=lambda dials: partial(w_reinforce_loss, positive_weight=dials.positive_weight),
    ),
}  # fmt: skip
