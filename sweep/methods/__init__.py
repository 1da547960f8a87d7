"""Algorithms: what each makes of solutions and mistakes. One file an algorithm, pure functions.

A method turns its material into training rows (likelihood) or pairs (preference). Which weights it
starts from and which stages it needs stand beside it in METHODS. A new method is one file here, one
entry, one YAML in conf/method/ and its tests.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from sweep.data.records import Pair, Row
from sweep.methods import chosen_sft, distant_dpo, dpo, random_step_dpo, sft, step_dpo
from sweep.methods.material import Material


@dataclass(frozen=True)
class Method:
    """rows: what is trained on; start: the weights it starts from; needs: the stage that its mistakes
    come from (none: solutions alone; samples: wrong traces; advantages: wrong traces with q_values).

    dials: the fields of MethodConfig that it reads beside name and optim; no other enters a stage's key.
    entropy_of: this is no training but the SFT policy itself, sampled at the temperature at which its
    entropy is that of the method named, from which it has everything else."""

    rows: Callable[[Material], list[Row] | list[Pair]]
    start: Literal["base", "sft"]
    needs: Literal["none", "samples", "advantages"]
    is_preference: bool
    dials: tuple[str, ...] = ()
    entropy_of: str | None = None


WHOLE = ("beta", "max_pairs_per_problem")
STEP = (*WHOLE, "pit_rule", "pit_threshold", "no_pit", "chosen_rule", "chosen_span", "rejected_span")

METHODS: dict[str, Method] = {
    "sft": Method(sft.rows, start="base", needs="none", is_preference=False),
    "sft_more": Method(sft.rows, start="sft", needs="none", is_preference=False),
    "dpo": Method(dpo.pairs, start="sft", needs="samples", is_preference=True, dials=WHOLE),
    "distant_dpo": Method(distant_dpo.pairs, start="sft", needs="samples", is_preference=True, dials=WHOLE),
    "step_dpo": Method(step_dpo.pairs, start="sft", needs="advantages", is_preference=True, dials=STEP),
    "random_step_dpo": Method(random_step_dpo.pairs, start="sft", needs="advantages", is_preference=True, dials=STEP),
    "chosen_sft": Method(chosen_sft.rows, start="sft", needs="advantages", is_preference=False, dials=STEP),
}
METHODS["entropy_matched"] = replace(METHODS["step_dpo"], entropy_of="step_dpo")
