"""What others' tables imply, under the same engine: exponents, RFT over SFT, real over synthetic problems; and how
well each law predicts what it was not fitted to (held_out.py).

Percentages are turned into counts of the known test sets, so that test noise is known; seeds are not (one run a
cell). Sources stand in README.md beside the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.noise.draws import draws
from analysis.notes import Note
from analysis.published.held_out import HeldOutErrors, held_out_errors, held_out_text
from analysis.tables.table import Table, table_from_runs
from analysis.worth.comparison import Comparison
from analysis.worth.multiplier import Multiplier
from analysis.worth.readings import at_size, headline
from analysis.worth.words import beyond_text, count, interval_text, multiplier_text

FOLDER = Path(__file__).parent
N_TEST = {"gsm8k": 1319, "math": 5000}
YUAN_MODELS = ("llama_7b", "llama2_7b", "llama_13b", "llama2_13b", "llama_33b", "llama_65b", "llama2_70b")
N_GSM8K_PROBLEMS = 7400  # what the paper's full SFT set holds, rounded as there
CAVEATS = (
    "one training run a cell: seed variance is not seen, only the scatter about the curves",
    "accuracies were published as percentages with one decimal; counts are rounded back from them",
    "Yuan's SFT cells are the better of two epoch settings, chosen on the test set, which flatters SFT",
    "Yuan's RFT arms draw on the same 7,400 problems with more solutions each: a problem is the unit here",
    "beyond the largest SFT set a multiplier is a bound; the extended law's value stands beside it, untested there",
)


@dataclass(frozen=True)
class Exponent:
    """The exponent of one column: least squares on logs as papers do it, and the weighted power law's with interval."""

    source: str
    column: str
    n_sizes: int
    log_log: float
    r2: float
    power: float
    power_ci: tuple[float, float]
    objections: tuple[Note, ...]


@dataclass(frozen=True)
class Implications:
    """All of it; multipliers by what they compare."""

    exponents: tuple[Exponent, ...]
    rft_over_sft: tuple[tuple[str, Multiplier], ...]
    real_over_synthetic: tuple[tuple[str, Multiplier], ...]
    held_out: tuple[HeldOutErrors, ...]
    caveats: tuple[str, ...] = CAVEATS


def counts_table(frame: pd.DataFrame, n_test: int, name: str) -> Table:
    """Rows of (arm, n, accuracy in percent) as counts of a known test set."""
    n_correct = np.round(frame["accuracy"] / 100.0 * n_test)
    runs = pd.DataFrame(
        {
            "arm": frame["arm"].astype(str),
            "size": frame["n"].astype(float),
            "x": frame["n"].astype(float),
            "seed": 0,
            "error": 1.0 - n_correct / n_test,
            "n_test": float(n_test),
        }
    )
    return table_from_runs(runs.reset_index(drop=True), "counts", x_name="n_train", path=name)


def yuan() -> pd.DataFrame:
    """Columns model, arm (SFT, RFT k=...), n (problems), accuracy; SFT at the better of its two epoch settings."""
    raw = pd.read_csv(FOLDER / "yuan2023_table5_gsm8k.csv")
    long = raw.melt(["method", "fraction", "n_train", "epochs"], list(YUAN_MODELS), "model", "accuracy").dropna()
    sft = long[long["method"] == "sft"].groupby(["model", "n_train"], as_index=False)["accuracy"].max()
    sft = sft.assign(arm="SFT", n=sft["n_train"])
    rft = long[long["method"] != "sft"]
    rft = rft.assign(arm=rft["method"].str.replace("rft_", "RFT "), n=N_GSM8K_PROBLEMS)
    both: pd.DataFrame = pd.concat([sft, rft])[["model", "arm", "n", "accuracy"]]
    return both.reset_index(drop=True)


def xwin() -> pd.DataFrame:
    """Columns dataset, arm (real, synthetic), n, accuracy."""
    raw = pd.read_csv(FOLDER / "li2024_xwin_llama2_7b.csv")
    return raw.rename(columns={"source": "arm", "n_train": "n"})


def skywork() -> pd.DataFrame:
    """Columns base, dataset, n, accuracy; every recipe of a base model in one column."""
    raw = pd.read_csv(FOLDER / "zeng2024_skywork.csv")
    parts = [raw.assign(dataset=name, accuracy=raw[f"{name}_accuracy"], n=raw["n_train"]) for name in N_TEST]
    return pd.concat(parts)[["base", "dataset", "n", "accuracy", "recipe"]].reset_index(drop=True)


def exponent(frame: pd.DataFrame, n_test: int, source: str, column: str, n_draws: int) -> Exponent:
    """Both exponents of one column of (n, accuracy), with what the engine objects to."""
    table = counts_table(frame.assign(arm=column), n_test, source)
    comparison = Comparison(draws(table, n_draws))
    x, y = np.log(table.runs["x"].to_numpy(float)), np.log(1.0 - frame.sort_values("n")["accuracy"].to_numpy() / 100)
    slope, level = np.polyfit(x, y, 1)
    rest = y - level - slope * x
    fit = comparison.fit(column, "power")
    objections = tuple(one for one in fit.notes if one.severity in ("warning", "serious"))
    return Exponent(
        source,
        column,
        len(x),
        float(slope),
        float(1 - rest.var() / y.var()),
        -fit.params["b"],
        (-fit.intervals["b"][1], -fit.intervals["b"][0]),
        objections,
    )


def implications(n_draws: int = 2000) -> Implications:
    """Fits of all three sources."""
    exponents, rft, real = [], [], []
    for model, rows in yuan().groupby("model", sort=False):
        exponents.append(exponent(rows[rows["arm"] == "SFT"], N_TEST["gsm8k"], "Yuan SFT", str(model), n_draws))
        table = counts_table(rows, N_TEST["gsm8k"], "Yuan")
        comparison = Comparison(draws(table, n_draws), law="power")
        best = [arm for arm in ("RFT k100", "RFT u33b") if arm in table.arms]
        rft += [(str(model), at_size(comparison, arm, "SFT", float(N_GSM8K_PROBLEMS))) for arm in best]
    for dataset, rows in xwin().groupby("dataset", sort=False):
        n_test = N_TEST[str(dataset)]
        small = rows[rows["n"] <= 7500]
        synthetic = rows[rows["arm"] == "synthetic"]
        exponents.append(
            exponent(synthetic[synthetic["n"] <= 7500], n_test, "Xwin synthetic", f"{dataset} to 7.5k", n_draws)
        )
        exponents.append(exponent(synthetic, n_test, "Xwin synthetic", f"{dataset} with all", n_draws))
        comparison = Comparison(draws(counts_table(small, n_test, "Xwin"), n_draws))
        real.append((str(dataset), headline(comparison, "real", "synthetic")))
    for (base, tested_on), rows in skywork().groupby(["base", "dataset"], sort=False):
        if len(rows) >= 3:
            column = f"{base} {tested_on}"
            exponents.append(exponent(rows, N_TEST[str(tested_on)], "Skywork", column, n_draws))
    return Implications(tuple(exponents), tuple(rft), tuple(real), held_out())


@cache
def held_out() -> tuple[HeldOutErrors, ...]:
    """Each law's held-out error on every table here; there is no draw in it."""
    return held_out_errors(accuracies())


def accuracies() -> dict[str, pd.DataFrame]:
    """Name -> columns curve, n, accuracy (percent) of each table of accuracies by size."""
    sft, of_xwin, of_skywork = yuan(), xwin(), skywork()
    sft = sft[sft["arm"] == "SFT"]
    return {
        "Yuan SFT, GSM8K": sft.assign(curve=sft["model"]),
        "Xwin, GSM8K and MATH": of_xwin.assign(curve=of_xwin["dataset"] + " " + of_xwin["arm"]),
        "Skywork, GSM8K and MATH": of_skywork.assign(curve=of_skywork["base"] + " " + of_skywork["dataset"]),
    }


def text(found: Implications) -> str:
    """For a terminal."""
    lines = ["exponent of the error by the training-set size (log-log least squares; weighted power law with interval)"]
    for one in found.exponents:
        lines.append(
            f"  {one.source:<15} {one.column:<22} {one.n_sizes} sizes  {one.log_log:+.3f} (R2 {one.r2:.3f})  "
            f"{one.power:+.3f} {interval_text(*one.power_ci, '{:+.3f}'.format)}"
        )
        lines += [f"    {note.severity} {note.code}: {note.text}" for note in one.objections]
    lines.append("RFT over SFT, Yuan: worth of one of the 7,400 problems under RFT in problems under SFT")
    for model, m in found.rft_over_sft:
        more = f"; {beyond_text(m)}" if beyond_text(m) else ""
        lines.append(f"  {model:<12} {m.arm:<9} {multiplier_text(m)} at n = {count(N_GSM8K_PROBLEMS)}{more}")
    lines.append("real over synthetic problems, Xwin")
    for dataset, m in found.real_over_synthetic:
        lines.append(f"  {dataset:<12} {multiplier_text(m)} at error {m.at_error:.3f}")
    lines += held_out_text(found.held_out)
    return "\n".join([*lines, "caveats", *(f"  {one}" for one in found.caveats)])
