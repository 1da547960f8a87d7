"""The arms, one entry each: a (source, method) pair, its names, how figures show it and the claims it is run for.

What `arm=` of a command line offers, what a table calls a run, and what figures and verdicts do with it are all read
from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Panel = Literal["imitation", "preference pairs", "what RFT is trained on"]
BASE_ARM = "base"


class Contrast(NamedTuple):
    """A sentence that is true where one arm's error lies below another's; both by their usual names."""

    text: str
    better: str
    worse: str


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm.

    Args:
        word: what `arm=` calls it.
        name: its usual name, in tables and legends.
        source, method: whose solutions, and which algorithm: files of conf/source/ and conf/method/.
        about: what it is, in a sentence.
        settings: what it sets besides, as dotted names of the configuration.
        is_entropy_matched: evaluated is the SFT policy, at the temperature that gives it this arm's entropy.
        colour, marker: its look in every figure.
        is_main: one of the paper's own arms; others are drawn as controls, dashed and with open markers.
        panel: where the figure of all arms draws it; None: not there.
        claims: what it is run to decide.
        is_claim_own: they are questions of ours, of a control or a later method, and not the paper's.
    """

    word: str
    name: str
    source: str
    method: str
    about: str
    colour: str
    marker: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_entropy_matched: bool = False
    is_main: bool = False
    panel: Panel | None = None
    claims: tuple[Contrast, ...] = ()
    is_claim_own: bool = False


# of an arm that reads the advantage of every step: rollouts for right traces too, to their ends
OF_ALL_TRACES: Mapping[str, Any] = {
    "sampling.rollouts.of": "all",
    "sampling.rollouts.until": "end",
    "sampling.rollouts.max_traces_per_problem": 6,
}

# in the order of legends and tables; colours after Okabe and Ito: preference arms warm, imitation arms cool
ARMS: tuple[Arm, ...] = (
    Arm(
        word="sft", name="SFT", source="teacher", method="sft",
        about="SFT on the teacher's solutions: the baseline of every multiplier.",
        colour="#333333", marker="o", is_main=True, panel="imitation",
    ),
    Arm(
        word="rft", name="RFT", source="self", method="sft",
        about="RFT: the base fine-tuned on the SFT policy's own verified solutions.",
        colour="#0072B2", marker="s", is_main=True, panel="imitation",
    ),
    Arm(
        word="dpo", name="DPO", source="self", method="dpo",
        about="DPO: whole correct against whole wrong solutions.",
        colour="#E69F00", marker="^", is_main=True, panel="preference pairs",
        claims=(Contrast("Standard DPO fails: SFT beats it", "SFT", "DPO"),),
    ),
    Arm(
        word="step_dpo", name="per-step DPO", source="self", method="step_dpo",
        about="Per-step DPO: pairs at the first pit.",
        colour="#D55E00", marker="D", is_main=True, panel="preference pairs",
        claims=(Contrast("Per-step DPO beats standard DPO", "per-step DPO", "DPO"),),
    ),
    Arm(
        word="sft_more", name="SFT, more updates", source="teacher", method="sft_more",
        about="Control: SFT with as many further updates as the preference arms.",
        colour="#7F7F7F", marker="o", panel="imitation",
        is_claim_own=True,
        claims=(Contrast("Negatives beat SFT with equally many updates", "per-step DPO", "SFT, more updates"),),
    ),
    Arm(
        word="chosen_sft", name="chosen steps only", source="self", method="chosen_sft",
        about="Control: likelihood of per-step DPO's chosen steps only.",
        colour="#CC79A7", marker="v", panel="preference pairs",
        is_claim_own=True,
        claims=(Contrast("The chosen side alone does not explain it", "per-step DPO", "chosen steps only"),),
    ),
    Arm(
        word="random_step_dpo", name="random-step DPO", source="self", method="random_step_dpo",
        about="Control: pairs at a random step instead of the pit.",
        colour="#009E73", marker="P", panel="preference pairs",
        claims=(Contrast("Pairs at the pit beat pairs at a random step", "per-step DPO", "random-step DPO"),),
    ),
    Arm(
        word="rft_unverified", name="RFT without verifier", source="self_unverified", method="sft",
        about="Control: RFT without the verifier.", settings={"method.optim.lr": "${rates.rft_unverified}"},
        colour="#56B4E9", marker="s", panel="imitation",
        is_claim_own=True,
        claims=(Contrast("The verifier matters (RFT)", "RFT", "RFT without verifier"),),
    ),
    Arm(
        word="sft_entropy_matched", name="SFT, entropy-matched", source="self", method="step_dpo",
        is_entropy_matched=True,
        about="Control: SFT sampled at the temperature at which its solutions have the entropy of per-step DPO's.",
        colour="#B3B3B3", marker="s",
        is_claim_own=True,
        claims=(Contrast("Sharpening alone does not explain it", "per-step DPO", "SFT, entropy-matched"),),
    ),
    Arm(
        word="distant_dpo", name="DPO, distant pairs", source="self", method="distant_dpo",
        about="DPO on whole solutions that differ the most.",
        colour="#B8860B", marker="s",
        claims=(Contrast("Per-step DPO beats DPO on distant pairs", "per-step DPO", "DPO, distant pairs"),),
    ),
    Arm(
        word="rft_filtered", name="advantage-filtered RFT", source="self_filtered", method="sft",
        about="The base fine-tuned on those of the SFT policy's solutions, right or wrong, whose steps have high "
        "advantages.",
        settings={"method.optim.lr": "${rates.rft_filtered}", **OF_ALL_TRACES},
        colour="#44AA99", marker="s",
        claims=(Contrast("Advantage-filtered RFT beats RFT", "advantage-filtered RFT", "RFT"),),
    ),
    Arm(
        word="pit_dpo", name="DPO to the pit", source="self", method="pit_dpo",
        about="DPO on a whole right solution against a wrong one cut off behind its pit: the paper's practical pairs.",
        colour="#AA3377", marker="d",
        is_claim_own=True,
        claims=(Contrast("Pairs at the pit beat whole solutions cut off there", "per-step DPO", "DPO to the pit"),),
    ),
    Arm(
        word="step_dpo_both", name="per-step DPO, both", source="self", method="step_dpo_both",
        about="Per-step DPO with advantages out of right and wrong solutions: the best step at a prefix "
        "over the worst.",
        settings=OF_ALL_TRACES,
        colour="#CC6677", marker="X",
        claims=(Contrast("Advantages of both kinds beat those of negatives alone", "per-step DPO, both",
                         "per-step DPO"),),
    ),
    Arm(
        word="good_steps", name="good steps only", source="self", method="good_steps",
        about="The base fine-tuned on single steps that raise the chance of the answer, out of right and wrong "
        "solutions.",
        settings=OF_ALL_TRACES,
        colour="#66A61E", marker="p",
        is_claim_own=True,
        claims=(Contrast("Good steps beat good solutions", "good steps only", "advantage-filtered RFT"),),
    ),
    Arm(
        word="nft", name="NFT", source="self", method="nft",
        about="Negative-aware fine-tuning: likelihood of right solutions, and of wrong ones under an implied negative "
        "policy.",
        colour="#6A3D9A", marker="<",
        is_claim_own=True,
        claims=(Contrast("Negatives pay by likelihood (NFT)", "NFT", "RFT"),),
    ),
    Arm(
        word="w_reinforce", name="W-REINFORCE", source="self", method="w_reinforce",
        about="Wrong solutions down with weight 1, right ones up with a tenth of it.",
        colour="#B15928", marker=">",
        is_claim_own=True,
        claims=(Contrast("Negatives pay by policy gradient (W-REINFORCE)", "W-REINFORCE", "RFT"),),
    ),
    Arm(
        word="grpo", name="GRPO", source="self", method="grpo",
        about="Offline GRPO: solutions up or down by their advantage inside their problem's group, clipped.",
        colour="#1F9E89", marker="h",
        is_claim_own=True,
        claims=(Contrast("Per-step pairs beat the group's advantages (GRPO)", "per-step DPO", "GRPO"),),
    ),
    Arm(
        word="rft_sound", name="RFT, sound steps", source="self_sound", method="sft",
        about="Control: RFT on verified solutions without a spurious step.",
        settings={"method.optim.lr": "${rates.rft_sound}"},
        colour="#117733", marker="^", panel="what RFT is trained on",
        claims=(Contrast("Spurious steps hurt (RFT)", "RFT, sound steps", "RFT, spurious steps"),),
    ),
    Arm(
        word="rft_spurious", name="RFT, spurious steps", source="self_spurious", method="sft",
        about="Control: RFT on verified solutions that all have a spurious step, of the same problems as rft_sound.",
        settings={"method.optim.lr": "${rates.rft_spurious}"},
        colour="#882255", marker="v", panel="what RFT is trained on",
    ),
    Arm(
        word="rft_mixed", name="RFT, spurious steps mixed in", source="self_mixed", method="sft",
        about="RFT on verified solutions of which a fraction has a spurious step (source.spurious_fraction), of the "
        "same problems as rft_sound and at its rate.",
        settings={"method.optim.lr": "${rates.rft_sound}"},
        colour="#999933", marker="v",
    ),
)  # fmt: skip


def usual_name(source: str, method: str, *, is_entropy_matched: bool = False) -> str:
    """What tables and legends call it; a description where it is no arm."""
    for arm in ARMS:
        if (arm.source, arm.method, arm.is_entropy_matched) == (source, method, is_entropy_matched):
            return arm.name
    return f"{method} on {source}" + (", entropy-matched" if is_entropy_matched else "")
