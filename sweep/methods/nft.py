"""Negative-aware fine-tuning: likelihood of right solutions, and of wrong ones under an implied negative policy.

The SFT policy is the mixture p pi_right + (1 - p) pi_wrong of what it does where it is right and where it is wrong, p
the problem's pass_rate. Training pi_right by likelihood on right solutions therefore also trains the implied pi_wrong =
(pi_sft - p pi_right) / (1 - p) on wrong ones (Chen et al., arXiv:2505.18116). negative_weight=1 is NFT, 0 keeps the
right solutions alone, which is RFT from the SFT policy; where their code takes -1 it runs DAPO, which is grpo.py.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sweep.methods.grpo import judged_traces
from sweep.methods.material import Method

if TYPE_CHECKING:  # planning a sweep reads this module and must not wait for torch
    from torch import Tensor

LEAST, MOST = 0.02, 0.98  # a pass_rate is held inside, as in the authors' code
FLOOR = 1.0  # of the negative policy's ratio, whose gradient is kept: their default


def nft_loss(
    policy_logps: Tensor, reference_logps: Tensor, is_correct: Tensor, pass_rate: Tensor, *, negative_weight: float
) -> Tensor:
    """(n_tokens,) in nats, each weighted by 1 - p: a hard problem counts more. At the start its gradient is that of
    policy_logps times p - is_correct, as GRPO's without the deviation.

    Args: as of `grpo_loss`.
    """
    p = pass_rate.clamp(LEAST, MOST)
    log_ratio = policy_logps - reference_logps
    negative_ratio = (1 - p * log_ratio.clamp(max=10.0).exp()) / (1 - p)
    floored = negative_ratio + (negative_ratio.clamp(min=FLOOR) - negative_ratio).detach()
    wrong = -floored.log() * negative_weight * (1 - is_correct)
    return (1 - p) * (wrong - log_ratio * is_correct)


ENTRIES = {
    "nft": Method(
        judged_traces, start="sft", needs="samples", is_preference=False, dials=("negative_weight",),
        loss_of=lambda dials: partial(nft_loss, negative_weight=dials.negative_weight),
    ),
}  # fmt: skip
