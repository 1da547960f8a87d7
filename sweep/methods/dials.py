"""The dials of conf/method/: what the paper leaves open in how rows and pairs are made."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.fields import choice, real, whole


@dataclass
class Dials:
    """Each with its valid values; a method states which of them it reads, and ignores the others."""

    beta: float = real(above=0, most=1e6, default=0.1)  # DPO's inverse temperature
    max_pairs_per_problem: int = whole(1, 2**20, default=4)
    pit_rule: str = choice("first_lowest", "first_below", "lowest_advantage", default="first_lowest")
    pit_threshold: float = real(0, 1, default=0.0)  # first_below: the first step with q_value <= this
    no_pit: str = choice("skip", "last_step", default="skip")  # a wrong solution with no pit: skip it, or charge that
    chosen_rule: str = choice("random", "shortest", default="random")  # which correct continuation
    chosen_span: str = choice("step", "completion", default="step")  # how much of the correct continuation
    clip_low: float = real(0, 1, default=0.2)  # GRPO: how far below 1 the ratio to the reference still counts
    clip_high: float = real(0, 1e6, default=0.28)  # and how far above
    positive_weight: float = real(0, 1e6, default=0.1)  # W-REINFORCE: of right solutions; wrong ones have weight 1
    negative_weight: float = real(0, 1e6, default=1.0)  # NFT: of wrong solutions; right ones have weight 1
    rejected_span: str = choice("step", "completion", default="step")  # how much of the wrong solution


WHOLE = ("beta", "max_pairs_per_problem")
STEP = (*WHOLE, "pit_rule", "pit_threshold", "no_pit", "chosen_rule", "chosen_span", "rejected_span")
