"""Each law's held-out error on every public table, side by side.

Of each curve (one model, or one source of data) the largest quarter of its sizes is held out, at the least one, or
what the table's authors held out. Every law that all of the table's curves have the sizes for is fitted to the rest,
every size with the same weight, and predicts the same points. A law of model size and data together is fitted to all
curves at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.held_out import rmsle
from analysis.laws.chinchilla import fit_chinchilla
from analysis.laws.chinchilla import predicted as chinchilla_at
from analysis.laws.fit import fit_curves
from analysis.laws.forms import FORMS
from analysis.laws.learning_efficiency import fit_learning_efficiency
from analysis.laws.learning_efficiency import predicted as learning_efficiency_at
from sweep.terminal.progress import counted

FOLDER = Path(__file__).parent
LEAST_SIZES = 5
LAWS = ("power", "log_log", "log_linear", "power_floor", "sigmoid", "m4")  # saturating: no table tells its ceiling


def _chinchilla(seen: np.ndarray, at: np.ndarray) -> np.ndarray:
    return chinchilla_at(fit_chinchilla(seen, objective="least_squares", n_starts=4), at[:, 0], at[:, 1])


def _learning_efficiency(seen: np.ndarray, at: np.ndarray) -> np.ndarray:
    return learning_efficiency_at(fit_learning_efficiency(seen), at[:, 0], at[:, 1])


JOINT: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "chinchilla": _chinchilla,
    "learning_efficiency": _learning_efficiency,
}


@dataclass(frozen=True, eq=False)
class Points:
    """A public table as curves.

    Args:
        frame: columns curve, x, y, is_held and, where the curves are models of one family, n_params; by curve and x.
        top: the largest y there can be.
    """

    name: str
    frame: pd.DataFrame
    top: float = np.inf


@dataclass(frozen=True)
class HeldOutErrors:
    """One table.

    Args:
        distance: median over curves of ln(largest size / largest size fitted).
        rmsle: law -> root mean square of ln predicted - ln observed; None where a curve has too few sizes for the law,
            or the table's curves are not of models of known sizes.
    """

    table: str
    n_curves: int
    n_held: int
    distance: float
    rmsle: Mapping[str, float | None]


def curves_of(name: str, frame: pd.DataFrame, *, top: float = np.inf) -> Points:
    """Points of (curve, x, y[, n_params, is_held]): runs of one size averaged, curves of too few sizes left out."""
    keys = [one for one in ("curve", "n_params", "x", "is_held") if one in frame]
    means = frame.groupby(keys)["y"].mean().reset_index().sort_values(["curve", "x"])
    n_sizes = means.groupby("curve")["x"].transform("size")
    kept = means[n_sizes >= LEAST_SIZES].reset_index(drop=True)
    if "is_held" not in kept:
        from_top = kept.groupby("curve").cumcount(ascending=False)
        n_sizes = kept.groupby("curve")["x"].transform("size")
        kept["is_held"] = from_top < np.maximum(1, n_sizes // 4)
    return Points(name, kept, top)


def chinchilla_points() -> pd.DataFrame:
    """Columns n_params, n_tokens (n_flop / 6 N, as its authors take it), loss; the 240 of 245 that they fitted."""
    raw = pd.read_csv(FOLDER / "besiroglu2024_chinchilla.csv")
    kept = raw[raw["loss"] < raw["loss"].nlargest(5).min()]
    points: pd.DataFrame = kept.assign(n_tokens=kept["n_flop"] / 6 / kept["n_params"])
    return points[["n_params", "n_tokens", "loss"]]


def _language_models() -> list[Points]:
    chinchilla = chinchilla_points()
    # read off a figure: the sizes of one model differ by 1e-5
    rounded = chinchilla["n_params"].map(lambda n: float(f"{n:.3g}"))
    chinchilla = chinchilla.assign(n_params=rounded, curve=rounded, x=chinchilla["n_tokens"], y=chinchilla["loss"])
    ladder = pd.read_csv(FOLDER / "bhagia2024_olmo_ladder.csv")
    ladder = ladder.assign(curve=ladder["model"], x=ladder["n_tokens"])
    nmt = pd.read_csv(FOLDER / "alabdulmohsin2022_nmt.csv")
    nmt = nmt.assign(curve=nmt["model"], x=nmt["n_examples"], y=nmt["loss"], is_held=nmt["is_fitted"] == 0)
    gadre = pd.read_csv(FOLDER / "gadre2024_overtraining.csv")
    gadre = gadre.assign(curve=gadre["model"], x=gadre["n_tokens"], y=gadre["c4_loss"])
    return [
        curves_of("Chinchilla, loss", chinchilla),
        curves_of("over-training, C4 loss", gadre),
        curves_of("OLMo ladder, C4 loss", ladder.assign(y=ladder["c4_loss"])),
        curves_of("OLMo ladder, HellaSwag bits per byte", ladder.assign(y=ladder["hellaswag_bpb"])),
        curves_of("OLMo ladder, HellaSwag error", ladder.assign(y=1 - ladder["hellaswag_accuracy"]), top=1.0),
        curves_of("translation, loss", nmt),
    ]


def held_out_errors(accuracies: Mapping[str, pd.DataFrame]) -> tuple[HeldOutErrors, ...]:
    """Of the tables of losses in this folder, and of tables of (curve, n, accuracy in percent) by name."""
    errors = [
        curves_of(name, one.assign(x=one["n"], y=1 - one["accuracy"] / 100)[["curve", "x", "y"]], top=1.0)
        for name, one in accuracies.items()
    ]
    return tuple(
        scored(points) for points in counted([*errors, *_language_models()], "published tables") if len(points.frame)
    )


def scored(points: Points) -> HeldOutErrors:
    """Every law on one table."""
    frame = points.frame
    seen, held = frame[~frame["is_held"]], frame[frame["is_held"]]
    reach = frame.groupby("curve")["x"].max() / seen.groupby("curve")["x"].max()
    found = {law: _of_curves(law, points, seen, held) for law in LAWS}
    return HeldOutErrors(
        points.name,
        n_curves=len(reach),
        n_held=len(held),
        distance=float(np.median(np.log(reach))),
        rmsle=found | {law: _of_all(law, seen, held) for law in JOINT},
    )


def _of_curves(law: str, points: Points, seen: pd.DataFrame, held: pd.DataFrame) -> float | None:
    if seen.groupby("curve").size().min() <= FORMS[law].n_params:
        return None
    all_predicted, all_observed = [], []
    for curve, rows in seen.groupby("curve"):
        ln_n, y = np.log(rows["x"].to_numpy(float)), rows["y"].to_numpy(float)
        fitted = fit_curves(law, ln_n, y[None], np.ones(len(y)), top=points.top, n_grid=200)
        ahead = held[held["curve"] == curve]
        all_predicted.append(fitted.error_at(np.log(ahead["x"].to_numpy(float)))[0])
        all_observed.append(ahead["y"].to_numpy(float))
    return rmsle(np.concatenate(all_predicted), np.concatenate(all_observed))


def _of_all(law: str, seen: pd.DataFrame, held: pd.DataFrame) -> float | None:
    if "n_params" not in seen or seen["n_params"].nunique() < 3:
        return None
    at = held[["n_params", "x"]].to_numpy(float)
    predicted = JOINT[law](seen[["n_params", "x", "y"]].to_numpy(float), at)
    return rmsle(predicted, held["y"].to_numpy(float))


def held_out_text(found: tuple[HeldOutErrors, ...]) -> list[str]:
    """For a terminal, a line a table; the least error of a line stands with a star."""
    laws = (*LAWS, *JOINT)
    short = {"learning_efficiency": "learn_eff"}
    lines = [
        "held-out error of each law: root mean square of ln predicted - ln observed beyond the sizes fitted (* least)",
        f"  {'table':<38}{'curves':>7}{'points':>7}" + "".join(f"{short.get(law, law):>13}" for law in laws),
    ]
    for one in found:
        least = min(value for value in one.rmsle.values() if value is not None)
        cells = ["-" if v is None else f"{v:.4f}{'*' if v == least else ' '}" for v in map(one.rmsle.get, laws)]
        lines.append(f"  {one.table:<38}{one.n_curves:>7}{one.n_held:>7}" + "".join(f"{cell:>13}" for cell in cells))
    return lines
