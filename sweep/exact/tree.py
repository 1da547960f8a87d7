"""A tree of steps that can be enumerated: every prefix, the SFT policy's choices there, and exact advantages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from sweep.data.credit import advantages


@dataclass(frozen=True)
class Tree:
    """A problem of `depth` steps with the same number of choices at each; prefixes are numbered breadth first.

    Args:
        choices: (n_prefixes, n_choices) the SFT policy's probabilities of the next step.
        visits: (n_prefixes,) its probability of reaching each prefix.
        advantages: (n_prefixes, n_choices) of each next step, under the SFT policy.
    """

    choices: np.ndarray
    visits: np.ndarray
    advantages: np.ndarray


def joined(trees: Sequence[Tree]) -> Tree:
    """All their prefixes as those of one, in order: what is learnt at one prefix is nothing to another."""
    return Tree(*(np.concatenate([getattr(one, field.name) for one in trees]) for field in fields(Tree)))


def random_tree(depth: int, n_choices: int, rng: np.random.Generator) -> Tree:
    """Choices uniform on the simplex; each whole solution is right with probability 0.3.

    Raises:
        ValueError: a tree without a choice.
    """
    if depth < 1 or n_choices < 2:
        raise ValueError(f"depth={depth} and n_choices={n_choices}: expected 1 or more steps of 2 or more choices each")
    n_prefixes = (n_choices**depth - 1) // (n_choices - 1)
    choices = rng.dirichlet(np.ones(n_choices), n_prefixes)
    is_right = rng.random(n_choices**depth) < 0.3
    return Tree(choices, _visits(choices), _advantages(choices, is_right))


def _visits(choices: np.ndarray) -> np.ndarray:
    n_prefixes, n_choices = choices.shape
    visits = np.ones(n_prefixes)
    for prefix in range(1, n_prefixes):  # child k of prefix p is number p * n_choices + 1 + k
        parent, k = divmod(prefix - 1, n_choices)
        visits[prefix] = visits[parent] * choices[parent, k]
    return visits


def _advantages(choices: np.ndarray, is_right: np.ndarray) -> np.ndarray:
    """From the last step backwards: the value of a prefix is the mean of its steps' q_values under the policy."""
    n_prefixes, n_choices = choices.shape
    q_values = np.empty_like(choices)
    values = np.concatenate([np.empty(n_prefixes), is_right.astype(float)])
    for prefix in reversed(range(n_prefixes)):
        q_values[prefix] = values[prefix * n_choices + 1 : (prefix + 1) * n_choices + 1]
        values[prefix] = choices[prefix] @ q_values[prefix]
    rounded = np.clip(q_values, 0, 1), np.clip(values[:n_prefixes], 0, 1)  # a sum of shares may end above 1 by a bit
    return np.array([[advantages(np.array([q]), v)[0] for q in row] for row, v in zip(*rounded, strict=True)])
