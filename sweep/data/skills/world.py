"""The facts of the skills domain: which function does what, how often it is asked, who knows it.

A function adds a fixed number to a value, modulo n_values. Functions are asked with Zipf
frequencies, so a training set covers the rare ones only slowly; some are hard, and the teacher
likes to leave their step out; the answer is the class of the final value, so that a wrong path is
right by coincidence about once in n_classes times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SEPARATOR = ";"
MAX_REDRAWS = 1_000  # of a chain with a repeat: enough where 1 in 100 has none, and over in less than a second


@dataclass(frozen=True)
class World:
    """Arrays over functions (n_skills,) and values (n_values,).

    `shifts` are true, `false_shifts` what a base may believe instead, `reliabilities` the
    probability with which a pretraining document has function i right. `answers` maps a final
    value to its answer word.
    """

    shifts: np.ndarray
    false_shifts: np.ndarray
    is_hard: np.ndarray
    frequencies: np.ndarray
    reliabilities: np.ndarray
    answers: tuple[str, ...]

    @property
    def n_skills(self) -> int:
        return len(self.shifts)

    @property
    def n_values(self) -> int:
        return len(self.answers)


def zipf_frequencies(n_skills: int, exponent: float, offset: float) -> np.ndarray:
    """(n_skills,) probabilities proportional to (i + 1 + offset) ** -exponent."""
    weights = (np.arange(n_skills) + 1.0 + offset) ** -exponent
    return weights / weights.sum()


def random_world(
    *,
    n_skills: int,
    n_values: int,
    n_classes: int | None,
    hard_fraction: float,
    zipf_exponent: float,
    zipf_offset: float,
    n_head: int,
    head_reliability: float,
    tail_reliability: tuple[float, float],
    rng: np.random.Generator,
) -> World:
    """Draw the facts. n_classes None or 0: the answer is the value itself, no coincidence."""
    shifts = rng.integers(1, n_values, n_skills)
    other = rng.integers(1, n_values - 1, n_skills)
    false_shifts = other + (other >= shifts)  # neither the truth nor "no change"
    is_hard = _spread_choice(n_skills, round(hard_fraction * n_skills), rng)
    reliabilities = rng.uniform(*tail_reliability, n_skills)
    reliabilities[:n_head] = head_reliability
    if n_classes:
        classes = rng.permutation(np.arange(n_values) % n_classes)
        answers = tuple(f"C{c}" for c in classes)
    else:
        answers = tuple(str(v) for v in range(n_values))
    frequencies = zipf_frequencies(n_skills, zipf_exponent, zipf_offset)
    return World(shifts, false_shifts, is_hard, frequencies, reliabilities, answers)


def _spread_choice(n_skills: int, n_chosen: int, rng: np.random.Generator) -> np.ndarray:
    """(n_skills,) true once in each of n_chosen equal blocks: common and rare functions in equal shares."""
    edges = np.linspace(0, n_skills, n_chosen + 1).round().astype(int)
    is_chosen = np.zeros(n_skills, dtype=bool)
    is_chosen[rng.integers(edges[:-1], edges[1:])] = True
    return is_chosen


def distinct_draws(weights: np.ndarray, n_rows: int, n_drawn: int, rng: np.random.Generator, dials: str) -> np.ndarray:
    """(n_rows, n_drawn) indices drawn by `weights`, each row redrawn until its indices are distinct.

    Args:
        dials: what decides the weights, with values, for the error.
    Raises:
        ValueError: no such rows exist, or MAX_REDRAWS of them were not enough.
    """
    n_possible = int(np.count_nonzero(weights))
    rows = np.empty((n_rows, n_drawn), dtype=np.int64)
    again = np.arange(n_rows)
    if n_possible >= n_drawn:
        cumulative = np.cumsum(weights) / np.sum(weights)
        cumulative[-1] = 1.0
        for _ in range(MAX_REDRAWS):
            rows[again] = np.searchsorted(cumulative, rng.random((len(again), n_drawn)), side="right")
            again = again[_has_repeats(rows[again])]
            if not len(again):
                return rows
    raise ValueError(
        f"{dials}: expected chains of {n_drawn} different functions, and {len(again)} of {n_rows} had none after "
        f"{MAX_REDRAWS} draws; {n_possible} functions are asked at all, and a few of them nearly always. Flatten their "
        "frequencies (zipf_exponent nearer 0, a larger zipf_offset), spread a phase's documents over more functions "
        "(tail_fraction, zipf_fraction, n_head), or take a smaller chain_length"
    )


def _has_repeats(rows: np.ndarray) -> np.ndarray:
    ordered = np.sort(rows, axis=1)
    return (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)


def prompt_text(value: int, functions: Sequence[int]) -> str:
    """`5 f12 f7 f3`: the start value and the functions to apply."""
    return " f".join(map(str, (value, *functions)))


def solution_text(world: World, value: int, functions: np.ndarray, shifts: np.ndarray, is_omitted: np.ndarray) -> str:
    """Apply `functions` one after the other with `shifts`, leaving out the steps of the omitted ones."""
    words: list[str] = []
    chain = zip(functions.tolist(), shifts.tolist(), is_omitted.tolist(), strict=True)
    for function, shift, omitted in chain:
        if omitted:
            continue
        result = (value + shift) % world.n_values
        words += (f"f{function}", str(value), str(result), SEPARATOR)
        value = result
    return " ".join([*words, "ans", world.answers[value]])
