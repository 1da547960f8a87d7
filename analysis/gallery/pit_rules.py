"""Which step of a wrong solution per-step DPO charges, and whose rollouts tell it."""

from __future__ import annotations

from analysis.gallery.choices import Choices
from analysis.gallery.entries import Runs

PIT_RULES = Choices(
    Runs("pit_rules", by="method.pit_rule", quick="quick_pit_rules"),
    arm="per-step DPO",
    key="method.pit_rule",
    names={
        "first_lowest": "first lowest q_value",
        "first_below": "first q_value ≤ {pit_threshold}",
        "lowest_advantage": "lowest advantage",
    },
    about="Per-step DPO's test error (greedy) by the step of a wrong solution that is charged",
    less="that with the first lowest q_value",
    claim="Another rule of the pit is better than the first lowest",
    controls={"random-step DPO": "a random step up to the pit"},
    more="; the random step reads the same rollouts",
)
ROLLED_OUT_BY = Choices(
    Runs("rollout_policies", by="sampling.rollouts.policy", quick="quick_rollout_policies"),
    arm="per-step DPO",
    key="sampling.rollouts.policy",
    names={"learner": "the learner", "other_sft": "another SFT policy", "base": "the base model"},
    about="Per-step DPO's test error (greedy) by the policy that rolls out the steps of the learner's wrong solutions, "
    "and so decides which step is the pit and what is chosen in its place",
    less="that with the learner's own",
    claim="Rollouts by another policy than the learner are better",
)
