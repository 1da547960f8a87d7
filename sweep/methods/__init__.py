"""Algorithms: what each makes of solutions and mistakes. One file an algorithm, pure functions.

A method turns its material into training rows (likelihood) or pairs (preference). Which weights it
starts from and which stages it needs stand beside it in METHODS. A new method is one file here, one
entry, one YAML in conf/method/ and its tests.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sweep.data.records import Pair, Row
from sweep.methods import chosen_sft, dpo, random_step_dpo, sft, step_dpo
from sweep.methods.material import Material


@dataclass(frozen=True)
class Method:
    """rows: what is trained on; start: the weights it starts from; needs: the stage that its mistakes
    come from (none: solutions alone; samples: wrong traces; advantages: wrong traces with q_values)."""

    rows: Callable[[Material], list[Row] | list[Pair]]
    start: Literal["base", "sft"]
    needs: Literal["none", "samples", "advantages"]
    is_preference: bool


METHODS: dict[str, Method] = {
    "sft": Method(sft.rows, start="base", needs="none", is_preference=False),
    "sft_more": Method(sft.rows, start="sft", needs="none", is_preference=False),
    "dpo": Method(dpo.pairs, start="sft", needs="samples", is_preference=True),
    "step_dpo": Method(step_dpo.pairs, start="sft", needs="advantages", is_preference=True),
    "random_step_dpo": Method(random_step_dpo.pairs, start="sft", needs="advantages", is_preference=True),
    "chosen_sft": Method(chosen_sft.rows, start="sft", needs="advantages", is_preference=False),
}
