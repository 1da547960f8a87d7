"""The records every layer passes on: problems, solutions, traces, pairs and training rows.

A `prefix` is always the rendered prompt and the text of the steps before, so that
prefix + continuation is the exact text that the policy reads and writes.
"""

from __future__ import annotations

from dataclasses import dataclass

# Ends the user's turn in a prompt that is for the model's chat template: what stands before it is the user's message,
# what stands behind it the assistant's. A control character (end of transmission block), which no question may hold.
END_OF_TURN = "\x17"


@dataclass(frozen=True, slots=True)
class Problem:
    """A question, its reference answer and the name that outcomes are paired by."""

    problem_id: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Solution:
    """The verified text of one attempt: a teacher's solution or a correct trace."""

    problem_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Trace:
    """A solution sampled from a known policy; finished means EOS came inside the token bound."""

    problem_id: str
    text: str
    is_correct: bool
    is_finished: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """A shared prefix with the continuation to prefer and the one to avoid.

    `is_chosen_final` and `is_rejected_final` say whether EOS belongs to that side: an inner step
    ends without one, since the solution goes on.
    """

    prefix: str
    chosen: str
    rejected: str
    is_chosen_final: bool
    is_rejected_final: bool
    problem_id: str


@dataclass(frozen=True, slots=True)
class ReferenceScore:
    """Log-probabilities of a pair's two sides given its prefix under the frozen reference, each summed over tokens."""

    chosen_logp_sum: float
    rejected_logp_sum: float


@dataclass(frozen=True, slots=True)
class Row:
    """Likelihood training: loss on the continuation alone, and on EOS when `is_final`."""

    prefix: str
    continuation: str
    is_final: bool
    problem_id: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A whole solution that the reference policy sampled, to be made more or less likely than it was there.

    pass_rate: share of correct ones among the solutions that were sampled of its problem, in (0, 1).
    """

    prefix: str
    continuation: str
    is_final: bool
    problem_id: str
    is_correct: bool
    pass_rate: float


@dataclass(frozen=True, slots=True)
class Credit:
    """A trace with its q_values: (n_steps,), or up to the first hopeless step where rollouts
    stopped there. pass_rate is that of the bare problem, from the traces of the same policy."""

    problem_id: str
    text: str
    is_correct: bool
    pass_rate: float
    q_values: list[float]
