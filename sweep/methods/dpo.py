"""Direct preference optimisation: make the chosen continuation more likely than the rejected
one, each measured against the frozen reference policy that the pairs were sampled from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sweep.data.records import Pair
from sweep.methods.dials import WHOLE
from sweep.methods.material import Material, Method

if TYPE_CHECKING:  # planning a sweep reads this module and must not wait for torch
    from torch import Tensor


def pairs(material: Material) -> list[Pair]:
    """A good solution against a finished wrong trace of the same problem, paired at random.

    Each wrong trace is used at most once; good solutions repeat where a problem has fewer of them. A trace
    that the source itself holds up as good (an unverified one) is no counterexample.
    """
    out: list[Pair] = []
    for problem_id, good, wrong in good_and_wrong(material):
        right = material.draw(good, len(good))
        rejected = material.draw(wrong, material.dials.max_pairs_per_problem)
        out += [whole_pair(material, problem_id, right[i % len(right)], text) for i, text in enumerate(rejected)]
    return out


def good_and_wrong(material: Material) -> Iterator[tuple[str, list[str], list[str]]]:
    """problem_id, its good solutions and its distinct finished wrong traces, where it has both."""
    wrong: dict[str, list[str]] = {}
    for trace in material.traces:
        if trace.is_finished and not trace.is_correct:
            wrong.setdefault(trace.problem_id, []).append(trace.text)
    for problem_id in sorted(wrong):
        good = material.solutions_of.get(problem_id, [])
        held_up = {" ".join(text.split()) for text in good}
        distinct = [text for text in dict.fromkeys(wrong[problem_id]) if " ".join(text.split()) not in held_up]
        if good and distinct:
            yield problem_id, good, distinct


def whole_pair(material: Material, problem_id: str, chosen: str, rejected: str) -> Pair:
    """Two whole solutions of one problem."""
    return Pair(material.prompts[problem_id], chosen, rejected, True, True, problem_id)


def dpo_loss(
    policy_chosen_logp_sum: Tensor,
    policy_rejected_logp_sum: Tensor,
    reference_chosen_logp_sum: Tensor,
    reference_rejected_logp_sum: Tensor,
    beta: float,
) -> Tensor:
    """-log sigmoid of beta times the margin between the two log-ratios; the trainer averages over pairs.

    Args:
        policy_chosen_logp_sum, policy_rejected_logp_sum: (n_pairs,) sum, never the mean, of the
            log-probabilities of the continuation's tokens given the prefix, under the trained policy.
        reference_chosen_logp_sum, reference_rejected_logp_sum: the same under the frozen reference.
        beta: > 0; how dearly leaving the reference is paid.
    Returns:
        (n_pairs,) in nats; log 2 where policy and reference agree.
    Source: arXiv:2305.18290, Eq. 7.
    """
    from torch.nn import functional as F

    chosen_log_ratio = policy_chosen_logp_sum - reference_chosen_logp_sum
    rejected_log_ratio = policy_rejected_logp_sum - reference_rejected_logp_sum
    return -F.logsigmoid(beta * (chosen_log_ratio - rejected_log_ratio))


ENTRIES = {"dpo": Method(pairs, start="sft", needs="samples", is_preference=True, dials=WHOLE)}
