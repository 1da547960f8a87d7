"""Beyond the paper: what per-step DPO is worth at several widths of the embedded model, each beside its own SFT.

Rates were tuned at one width and carried over to the others, so a width at which it is worth less may have the wrong
rate. The rule, written before the runs: per-step DPO's multiplier at the middle of the errors that it shares with SFT
of its width, with its interval at 95 %.
    held        at every width the interval lies above 1
    not held    at one it lies below 1
    undecided   otherwise
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.worths import worths_side_by_side
from analysis.gallery.entries import Runs, View
from analysis.gallery.evidence import Evidence, evidence_with, of_what, shift_sentence
from analysis.worth.multiplier import Multiplier

ARM = "per-step DPO"
Read = Mapping[int, Evidence]  # by width


def _commands(experiment: str, widths: Mapping[int, str]) -> tuple[str, ...]:
    """The sweep, and a table a width, whose words on the command line are given."""
    sweep = f"python -m sweep -m experiment={experiment}"
    collect = f"python -m sweep collect -m experiment={experiment} {{}} --out outputs/{experiment}/table/{{}}".format
    return (sweep, *(collect(words, width) for width, words in widths.items()))


MODEL_SIZES = Runs(
    "model_sizes",
    commands=_commands("model_sizes", {48: "model=tiny_llama_48", 64: "model=tiny_llama", 96: "model=tiny_llama_96"}),
    table="64/runs.parquet",
    quick="quick_model_sizes",
    quick_commands=_commands("quick_model_sizes", {n: f"model.hidden_size={n}" for n in (64, 80)}),
)


def _read(folder: Path, n_draws: int) -> Read:
    widths = sorted(int(one.name) for one in folder.iterdir() if one.name.isdigit())
    return {width: evidence_with(folder / str(width), n_draws, [ARM]) for width in widths}


def _worths(found: Read) -> dict[int, Multiplier]:
    return {width: evidence.shifts([ARM])[0] for width, evidence in found.items()}


def ruling(limits: list[tuple[float, float]]) -> str:
    """By the rule above, of the interval at each width."""
    if any(high < 1 for _, high in limits):
        return "not held"
    return "held" if all(low > 1 for low, _ in limits) else "undecided"


def _of(found: Read) -> Evidence:
    """What all widths have alike: baseline, level, how many runs."""
    return next(iter(found.values()))


def _drawn(found: Read) -> Figure:
    rows = [
        (f"{width} wide", ARM, "", m.multiplier, m.bound, m.ci_low, m.ci_high) for width, m in _worths(found).items()
    ]
    columns = ["name", "arm", "axis", "multiplier", "bound", "low", "high"]
    return worths_side_by_side(
        pd.DataFrame(rows, columns=columns), f"worth in {_of(found).options.baseline}'s problems"
    )


def _data(found: Read) -> pd.DataFrame:
    """Errors, differences and worth, a row a width, arm and size."""
    tables = [one.cells([one.options.baseline, ARM]).assign(width=width) for width, one in found.items()]
    return pd.concat(tables, ignore_index=True)


def _caption(found: Read) -> str:
    worths = _worths(found)
    said = "; ".join(f"{width} wide {shift_sentence(m)}" for width, m in worths.items())
    ruled = ruling([(m.ci_low, m.ci_high) for m in worths.values()])
    return (
        "What one problem of per-step DPO is worth in SFT's of the same model, by the model's width, at the middle of "
        f"the errors that both reach; a bar is its {_of(found).comparison.level:.0%} interval, with an open arrowhead "
        "where it goes on beyond the frame, to 0× or ∞ where nothing bounds it. Rates were tuned at 64 alone and "
        "carried over to the other widths, those of matrices in proportion to 1 / width and the embedding's unchanged. "
        f"“Per-step DPO is worth more than 1x at every width”: {ruled} ({said}). At each width {of_what(_of(found))}."
    )


VIEW: View[Read] = View(read=_read, draw=_drawn, data=_data, caption=_caption)
