"""The arms by their usual names: how each looks, where legends list it, and what a command line calls it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sweep.arms import ARMS

_ENTRIES = {arm.name: arm for arm in ARMS}
MAIN_ARMS = tuple(arm.name for arm in ARMS if arm.is_main)
SPLIT_COLOURS = {  # an arm that `collect --by` named by a setting's value
    "RFT, max_solutions_per_problem=1": "#0B7A75",
    "RFT, max_solutions_per_problem=4": "#5599CC",
    "RFT, max_solutions_per_problem=16": "#332288",
}
_COLOURS = {"base": "#999999", **{arm.name: arm.colour for arm in ARMS}, **SPLIT_COLOURS}
_SPARE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#7F7F7F")
_SPARE_MARKERS = ("s", "D", "^", "v", "P", "X", "o", "*")


def look(arms: Sequence[str]) -> dict[str, tuple[str, str, bool]]:
    """Colour, marker and whether it is a control, of each arm; an unknown arm takes a spare look by its place."""
    known = any(arm in MAIN_ARMS for arm in arms)
    spare = [arm for arm in arms if arm not in _COLOURS]
    out = {}
    for arm in arms:
        i = spare.index(arm) % len(_SPARE_COLOURS) if arm in spare else 0
        marker = _ENTRIES[arm].marker if arm in _ENTRIES else _SPARE_MARKERS[i]
        colour = _COLOURS.get(arm, _SPARE_COLOURS[i])
        out[arm] = (colour, marker, known and arm not in MAIN_ARMS)
    return out


def word(arm: str) -> str:
    """What `arm=` of a sweep's command line calls it; the name itself where it is no arm of the sweep."""
    return _ENTRIES[arm].word if arm in _ENTRIES else arm


def panels(arms: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Title and arms of each panel of the figure of all arms; an arm that a setting split stands with those of RFT."""
    of: dict[str, list[str]] = {entry.panel: [] for entry in ARMS if entry.panel}
    for arm in in_order(arms):
        entry = _ENTRIES.get(arm)
        panel = entry.panel if entry else "what RFT is trained on" if arm.startswith("RFT, ") else None
        if panel:
            of[panel].append(arm)
    return [(title, members) for title, members in of.items() if members]


def in_order(arms: Iterable[str]) -> list[str]:
    """The arms as legends and tables list them: base, the paper's, controls, then others by name."""
    order = list(_COLOURS)
    return sorted(arms, key=lambda arm: (order.index(arm) if arm in order else len(order), arm))
