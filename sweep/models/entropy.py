"""The entropy of sampled solutions, and the temperature that gives a wanted one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import brentq

from sweep.models.draws import Completion

TEMPERATURES = (0.05, 2.0)  # between which a temperature is looked for


def temperature_of(entropy: float, draw: Callable[..., list[list[Completion]]]) -> float:
    """The temperature at which solutions have this mean entropy, to 1 %; no answer is looked at.

    Raises:
        ValueError: none between the bounds has it.
    """

    def excess(log_temperature: float) -> float:
        return mean_entropy(draw(n_samples=1, temperature=math.exp(log_temperature), has_entropy=True)) - entropy

    low, high = TEMPERATURES
    try:
        return math.exp(brentq(excess, math.log(low), math.log(high), xtol=0.01))
    except ValueError as error:
        raise ValueError(
            f"no temperature from {low} to {high} gives these solutions a mean entropy of {entropy:.4g} nats; the "
            "policy to be matched is far sharper or flatter than the SFT policy: look at its evaluation's entropy"
        ) from error


def mean_entropy(drawn: Sequence[Sequence[Completion]]) -> float:
    """Nats a token, the mean over all solutions."""
    return float(np.mean([c.entropy for completions in drawn for c in completions]))
