"""GRPO on one batch of samples: right solutions up, wrong ones down, each by its advantage inside its problem's group.

The loss is the clipped one of PPO with the group's normalised reward as advantage (Shao et al., arXiv:2402.03300, Eq.
3, without its KL term), a mean over tokens and with a wider upper clip as in DAPO (arXiv:2503.14476). The samples are
drawn once, from the SFT policy, as for every other arm: this is its offline form.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sweep.data.records import Judged, Trace
from sweep.methods.material import Material, Method

if TYPE_CHECKING:  # planning a sweep reads this module and must not wait for torch
    from torch import Tensor


def judged_traces(material: Material) -> list[Judged]:
    """Every finished trace of a problem that has right and wrong ones; the others' have no advantage."""
    of: dict[str, list[Trace]] = {}
    for trace in material.traces:
        of.setdefault(trace.problem_id, []).append(trace)
    out = []
    for problem_id, traces in sorted(of.items()):
        pass_rate = sum(trace.is_correct for trace in traces) / len(traces)
        if 0 < pass_rate < 1:
            prompt = material.prompts[problem_id]
            kept = [trace for trace in traces if trace.is_finished and trace.text]
            out += [Judged(prompt, one.text, True, problem_id, one.is_correct, pass_rate) for one in kept]
    return out


def grpo_loss(
    policy_logps: Tensor, reference_logps: Tensor, is_correct: Tensor, pass_rate: Tensor, *, low: float, high: float
) -> Tensor:
    """Minus the smaller of ratio * A and clipped ratio * A, of each token; the trainer averages over tokens.

    Args:
        policy_logps, reference_logps: (n_tokens,) log-probability under the trained policy and the one that sampled.
        is_correct, pass_rate: (n_tokens,) of the token's solution and of its problem; the group's mean reward is its
            pass_rate p and its deviation sqrt(p (1 - p)).
        low, high: the ratio is clipped to [1 - low, 1 + high].
    """
    ratio = (policy_logps - reference_logps).exp()
    advantage = (is_correct - pass_rate) / (pass_rate * (1 - pass_rate)).sqrt()
    return -(ratio * advantage).minimum(ratio.clamp(1 - low, 1 + high) * advantage)


ENTRIES = {
    "grpo": Method(
        judged_traces, start="sft", needs="samples", is_preference=False, dials=("clip_low", "clip_high"),
        loss_of=lambda dials: partial(grpo_loss, low=dials.clip_low, high=dials.clip_high),
    ),
}  # fmt: skip
