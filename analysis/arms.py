"""The arms by their usual names: how each looks, where legends list it, and what a command line calls it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# after Okabe and Ito; preference arms warm, imitation arms cool, controls with open markers and dashed lines
COLOURS = {
    "SFT": "#333333",
    "RFT": "#0072B2",
    "DPO": "#E69F00",
    "per-step DPO": "#D55E00",
    "SFT, more updates": "#7F7F7F",
    "chosen steps only": "#CC79A7",
    "random-step DPO": "#009E73",
    "RFT without verifier": "#56B4E9",
    "SFT, entropy-matched": "#B3B3B3",
    "base": "#999999",
    "DPO, distant pairs": "#B8860B",
    "advantage-filtered RFT": "#44AA99",
    "RFT, sound steps": "#117733",
    "RFT, spurious steps": "#882255",
    "RFT, max_solutions_per_problem=1": "#88CCEE",
    "RFT, max_solutions_per_problem=4": "#5599CC",
    "RFT, max_solutions_per_problem=16": "#332288",
}
MARKERS = {
    "SFT": "o",
    "RFT": "s",
    "DPO": "^",
    "per-step DPO": "D",
    "SFT, more updates": "o",
    "chosen steps only": "v",
    "random-step DPO": "P",
    "RFT without verifier": "s",
    "RFT, sound steps": "^",
    "RFT, spurious steps": "v",
}
MAIN_ARMS = ("SFT", "RFT", "DPO", "per-step DPO")
_SPARE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#7F7F7F")
_SPARE_MARKERS = ("s", "D", "^", "v", "P", "X", "o", "*")
SWEEP_ARMS = {  # what `arm=` of a sweep's command line calls them
    "SFT": "sft",
    "RFT": "rft",
    "DPO": "dpo",
    "per-step DPO": "step_dpo",
    "SFT, more updates": "sft_more",
    "chosen steps only": "chosen_sft",
    "random-step DPO": "random_step_dpo",
    "RFT without verifier": "rft_unverified",
    "DPO, distant pairs": "distant_dpo",
    "advantage-filtered RFT": "rft_filtered",
    "SFT, entropy-matched": "sft_entropy_matched",
    "RFT, sound steps": "rft_sound",
    "RFT, spurious steps": "rft_spurious",
}


def look(arms: Sequence[str]) -> dict[str, tuple[str, str, bool]]:
    """Colour, marker and whether it is a control, of each arm; an unknown arm takes a spare look by its place."""
    known = any(arm in MAIN_ARMS for arm in arms)
    spare = [arm for arm in arms if arm not in COLOURS]
    out = {}
    for arm in arms:
        i = spare.index(arm) % len(_SPARE_COLOURS) if arm in spare else 0
        colour, marker = COLOURS.get(arm, _SPARE_COLOURS[i]), MARKERS.get(arm, _SPARE_MARKERS[i])
        out[arm] = (colour, marker, known and arm not in MAIN_ARMS)
    return out


def in_order(arms: Iterable[str]) -> list[str]:
    """The arms as legends and tables list them: base, the paper's, controls, then others by name."""
    order = ["base", *COLOURS]
    return sorted(arms, key=lambda arm: (order.index(arm) if arm in order else len(order), arm))
