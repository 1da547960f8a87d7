"""The documents that the base of the skills domain is pretrained on, one phase after the other.

Early phases teach the format and how to read a problem; the last one is the base's picture of the
world: it knows the head of the functions, has firm false beliefs about some of the tail, and
writes both careful solutions and solutions with steps left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sweep.data.phase import Phase
from sweep.data.skills.world import World, distinct_draws, prompt_text, solution_text
from sweep.fields import real


@dataclass(frozen=True, slots=True)
class SkillsPhase(Phase):
    """One phase: which functions its documents ask, and how they answer.

    Each function of a document is drawn from the tail with `tail_fraction`, by its frequency in
    the problems with `zipf_fraction`, else from the head; tail and head are uniform.
    `is_noisy_tail` gives tail functions a fresh random result each time (format without facts);
    otherwise function i is right with its reliability and else shows its fixed false shift.
    """

    tail_fraction: float = real(0, 1, default=0.0)
    zipf_fraction: float = real(0, 1, default=0.0)
    is_noisy_tail: bool = False
    careful_fraction: float = real(0, 1, default=1.0)
    careful_skip: float = real(0, 1, default=0.0)
    skip_hard: float = real(0, 1, default=0.0)
    skip_easy: float = real(0, 1, default=0.0)

    def __post_init__(self) -> None:
        if self.tail_fraction + self.zipf_fraction > 1:
            raise ValueError(
                f"tail_fraction={self.tail_fraction} and zipf_fraction={self.zipf_fraction} add up to more than 1; "
                "what is left is the head's share"
            )


def documents(
    world: World,
    phase: SkillsPhase,
    *,
    n_head: int,
    chain_length: int,
    is_order_free: bool,
    rng: np.random.Generator,
) -> list[tuple[str, str]]:
    """(prompt without its end mark, solution) of each document of the phase."""
    n = phase.n_documents
    functions = chains(world, phase, n, n_head=n_head, chain_length=chain_length, rng=rng)
    values = rng.integers(0, world.n_values, n)
    shifts = _believed_shifts(world, phase, functions, n_head, rng)
    skip = np.where(world.is_hard[functions], phase.skip_hard, phase.skip_easy)
    is_careful = rng.random((n, 1)) < phase.careful_fraction
    is_omitted = rng.random(functions.shape) < np.where(is_careful, phase.careful_skip, skip)
    prompts = [prompt_text(v, f) for v, f in zip(values.tolist(), functions.tolist(), strict=True)]
    if is_order_free:
        order = rng.permuted(np.tile(np.arange(chain_length), (n, 1)), axis=1)
        functions, shifts, is_omitted = (
            np.take_along_axis(each, order, axis=1) for each in (functions, shifts, is_omitted)
        )
    return [
        (prompt, solution_text(world, value, *row))
        for prompt, value, *row in zip(prompts, values.tolist(), functions, shifts, is_omitted, strict=True)
    ]


def chains(
    world: World, phase: SkillsPhase, n_chains: int, *, n_head: int, chain_length: int, rng: np.random.Generator
) -> np.ndarray:
    """(n_chains, chain_length) different functions, as the phase's documents ask them; ValueError where none exist."""
    dials = (
        f"curriculum phase: tail_fraction={phase.tail_fraction}, zipf_fraction={phase.zipf_fraction}, n_head={n_head}, "
        f"chain_length={chain_length}"
    )
    return distinct_draws(_weights(world, phase, n_head), n_chains, chain_length, rng, dials)


def _weights(world: World, phase: SkillsPhase, n_head: int) -> np.ndarray:
    """(n_skills,) the mixture of head, tail and problem frequencies."""
    is_tail = np.arange(world.n_skills) >= n_head
    weights = phase.zipf_fraction * world.frequencies
    head_fraction = 1 - phase.tail_fraction - phase.zipf_fraction
    for is_member, share in ((is_tail, phase.tail_fraction), (~is_tail, head_fraction)):
        if share > 0 and is_member.any():
            weights = weights + share * is_member / is_member.sum()
    return weights


def _believed_shifts(
    world: World, phase: SkillsPhase, functions: np.ndarray, n_head: int, rng: np.random.Generator
) -> np.ndarray:
    """(n_documents, chain_length) what each step adds in the base's own picture of the world."""
    is_right = rng.random(functions.shape) < world.reliabilities[functions]
    believed = np.where(is_right, world.shifts[functions], world.false_shifts[functions])
    if phase.is_noisy_tail:
        noise = rng.integers(0, world.n_values, functions.shape)
        believed = np.where(functions >= n_head, noise, believed)
    return believed
