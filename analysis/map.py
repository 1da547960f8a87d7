"""The map: one study with one ingredient changed at a time, and where its multipliers are 1, 2, 8.

    python -m analysis map STUDY VARIANT...     a table folder each; the first is what the others are variants of

A variant is named by its folder and described by the settings in which its runs differ from the study's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.arms import in_order
from analysis.figures import style
from analysis.figures.map import gap_figure, map_figure, readable, worth_by_share
from analysis.intervals import interval, student
from analysis.options import Options, comparison_of
from analysis.sheet import Sheet
from analysis.tables.delimited import check_csv
from analysis.worth.comparison import Comparison
from analysis.worth.multiplier import Multiplier
from analysis.worth.readings import at_size
from analysis.worth.words import count, error_text, interval_text, multiplier_text
from sweep.terminal.progress import counted

# where in the grid a run stands, not what it is made of
POINTS = ("n_problems", "seed", "replicate", "method.name", "source.name")
RATES = ("method.optim.lr", "sft.lr")  # tuned for each variant by one rule: what differs because of the ingredient
Settings = Mapping[str, Mapping[str, object]]  # arm -> dotted name -> value
NOTHING = (float("nan"),) * 3  # a value and its limits
WORLD = ("dataset", "model", "teacher")  # groups of settings that decide what there is to learn, not how it is trained


@dataclass(frozen=True)
class MapPoint:
    """One arm at one size in one variant.

    Args:
        variant: name of the variant's folder; changed: its settings that the study does not share, as `dial=value`.
        error, baseline_error: mean over seeds at that size, the baseline's nan where it was not run there.
        gap: error less the baseline's, and its limits; nan where the baseline was not run there.
        moved: that gap less the study's in the same replicates (or seeds), and Student's limits over them; nan in the
            study itself, and where the two have fewer than two in common.
        n_seeds: of the arm's runs at that size.
        is_training: whether the variant leaves dataset, model and teacher as they are.
        share: of the flaws that the domain found in the baseline's greedy solutions at that size, those of the kinds
            `share_of`; nan where no kind was asked for or the baseline was not run there.
    """

    variant: str
    changed: str
    is_training: bool
    share: float
    share_of: str
    error: float
    baseline_error: float
    gap: tuple[float, float, float]
    moved: tuple[float, float, float]
    n_seeds: int
    multiplier: Multiplier

    @property
    def size(self) -> float:
        assert self.multiplier.at_size is not None  # a point is read at a size
        return self.multiplier.at_size


def survey(
    paths: Sequence[str | Path], options: Options, *, sizes: Sequence[float] = (), share_of: Sequence[str] = ()
) -> tuple[MapPoint, ...]:
    """Every arm's multiplier at its own sizes in the study and in each of its variants.

    Args:
        paths: table folders as `python -m sweep collect` writes them, the study's first; one given twice is read once.
        sizes: the arms' sizes to read at; all where empty.
        share_of: kinds of flaw (of the runs' diagnosis) whose share of the baseline's stands beside each point.
    Raises:
        ValueError: two folders have the same name, no arm is at a size asked for, a table cannot be read, or no
            solution has a flaw of these kinds.
    """
    folders = list(dict.fromkeys(Path(path).resolve() for path in paths))
    names = [folder.name for folder in folders]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)}: variants are named by their folders, and two folders have one name")
    runs = [_runs(folder) for folder in folders]
    settings = [_settings(one) for one in runs]
    _refuse_unknown(share_of, runs)
    out: list[MapPoint] = []
    of_study: dict[tuple[str, float], pd.Series] = {}
    for folder, name, mine, of_path in counted(tuple(zip(folders, names, settings, runs, strict=True)), "variants"):
        comparison = comparison_of(folder, options)
        arms = options.of or in_order(arm for arm in comparison.draws.table.arms if arm != options.baseline)
        changed = {} if mine is settings[0] else _changed(settings[0], mine)
        shares = _shares(of_path, options.baseline, share_of)
        for arm in arms:
            for size in comparison.sizes(arm):
                if not sizes or size in sizes:
                    by_unit = _by_unit(comparison, arm, options.baseline, size)
                    beside = of_study.setdefault((arm, size), by_unit)
                    moved = NOTHING if beside is by_unit else _moved(by_unit - beside, options.level)
                    share = shares.get(size, float("nan"))
                    out.append(_point(comparison, name, changed, arm, options.baseline, size, share, share_of, moved))
    if not out:
        raise ValueError(f"no arm has runs at {', '.join(map(count, sizes))}; name sizes that were run")
    return tuple(out)


def _point(
    comparison: Comparison,
    name: str,
    changed: Mapping[str, object],
    arm: str,
    baseline: str,
    size: float,
    share: float,
    share_of: Sequence[str],
    moved: tuple[float, float, float],
) -> MapPoint:
    errors = {
        one: comparison.arm_errors(one)[:, comparison.sizes(one).index(size)]
        for one in (arm, baseline)
        if size in comparison.sizes(one)
    }
    runs = comparison.draws.table.runs
    return MapPoint(
        variant=name,
        changed=", ".join(_setting(dial.rsplit(".", 1)[-1], value) for dial, value in sorted(changed.items())),
        is_training=bool(changed) and not any(dial.split(".", 1)[0] in WORLD for dial in changed),
        share=share,
        share_of=", ".join(share_of),
        error=float(errors[arm][0]),
        baseline_error=float(errors[baseline][0]) if baseline in errors else np.nan,
        gap=_gap(errors[arm] - errors[baseline], comparison.level) if baseline in errors else NOTHING,
        moved=moved,
        n_seeds=int(((runs["arm"] == arm) & (runs["x"] == size)).sum()),
        multiplier=at_size(comparison, arm, baseline, size),
    )


def _gap(gaps: np.ndarray, level: float) -> tuple[float, float, float]:
    """The observed gap, the first of gaps (1 + n_draws,), and its limits."""
    return float(gaps[0]), *interval(gaps[1:], level)


def _by_unit(comparison: Comparison, arm: str, baseline: str, size: float) -> pd.Series:
    """The gap of each replicate, or where the table has none of each seed, by its name."""
    table = comparison.draws.table
    runs = table.runs[table.runs["x"] == size]
    errors = runs.groupby(["arm", "replicate" if table.n_replicates else "seed"])["error"].mean()
    mine, its = (errors.loc[one] if one in errors.index else errors.iloc[:0].droplevel(0) for one in (arm, baseline))
    return (mine - its).dropna()


def _moved(differences: pd.Series, level: float) -> tuple[float, float, float]:
    values = differences.dropna().to_numpy(float)
    return student(values, level) if len(values) > 1 else NOTHING


def _runs(path: str | Path) -> pd.DataFrame:
    from sweep.table import read_table

    runs = read_table(path).runs
    return runs[runs["n_problems"] > 0]


def _settings(runs: pd.DataFrame) -> Settings:
    """Arm to its settings as dotted names, those of the grid left out."""
    from sweep.table import flat

    return {
        str(arm): {name: value for name, value in flat(json.loads(text)).items() if name not in POINTS}
        for arm, text in runs.groupby("arm").config.first().items()
    }


def _shares(runs: pd.DataFrame, baseline: str, kinds: Sequence[str]) -> Mapping[float, float]:
    """Size to the share of these kinds among the flaws of the baseline's solutions, all seeds together; a solution
    with two kinds of flaw counts in both."""
    out: dict[float, float] = {}
    if not kinds:
        return out
    mine = runs[runs["arm"] == baseline]
    for size, group in mine.groupby(mine["n_problems"].astype(float)):
        found: Counter[str] = Counter()
        for text in group["diagnosis"]:
            found.update(json.loads(text))
        if found.total():
            out[size] = sum(found[kind] for kind in kinds) / found.total()
    return out


def _refuse_unknown(kinds: Sequence[str], runs: Sequence[pd.DataFrame]) -> None:
    known = {kind for one in runs for text in one["diagnosis"] for kind in json.loads(text)} if kinds else set()
    if unknown := [kind for kind in kinds if kind not in known]:
        raise ValueError(
            f"share of {', '.join(unknown)}: no solution of these tables has that flaw; "
            f"known: {', '.join(sorted(known)) or 'none, for this dataset cannot say what is wrong with a step'}"
        )


def _changed(study: Settings, variant: Settings) -> dict[str, object]:
    """Settings of an arm of both in which they differ, by dotted name: those that both tables name; where there is
    none those that a newer program wrote into one alone; then learning rates.
    """
    missing = object()
    found = {
        name: value
        for arm in sorted({*study} & {*variant})
        for name, value in variant[arm].items()
        if study[arm].get(name, missing) != value
    }
    known = {name for settings in study.values() for name in settings}
    named = {name: value for name, value in found.items() if name not in RATES}
    return {name: value for name, value in named.items() if name in known} or named or found


def _setting(dial: str, value: object) -> str:
    """`dial=value`; a list by its name alone."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return f"another {dial}"
    return f"{dial}={'none' if value is None else f'{value:g}' if isinstance(value, float) else value}"


COLUMNS = (
    "variant", "changed", "arm", "n_problems", "error", "baseline's error", "less the baseline's", "than in the study",
    "worth", "seeds",
)  # fmt: skip


def map_sheet(readings: Sequence[MapPoint], name: str = "map") -> Sheet:
    """A row a reading; the CSV carries the numbers, `read_map` reads it back."""
    baseline, level, kinds = readings[0].multiplier.baseline, readings[0].multiplier.level, readings[0].share_of
    rows = tuple(
        (
            one.variant.replace("_", " "),
            one.changed,
            one.multiplier.arm,
            count(one.size),
            error_text(one.error),
            "" if np.isnan(one.baseline_error) else error_text(one.baseline_error),
            _difference_text(one.gap),
            _difference_text(one.moved),
            multiplier_text(one.multiplier),
            str(one.n_seeds),
            *([] if not kinds else ["" if np.isnan(one.share) else f"{one.share:.2f}"]),
        )
        for one in readings
    )
    caption = (
        f"What one problem of an arm is worth in {baseline} problems, and its error less that of {baseline}, also "
        f"beside the same in the study, one ingredient changed at a time; {level:.0%} intervals, with one seed "
        "conditional on that training run."
    )
    raw = tuple(
        (
            one.variant, one.changed, m.arm, m.baseline, m.at_size, one.error, one.baseline_error, *one.gap, *one.moved,
            m.multiplier, m.bound, m.ci_low, m.ci_high, m.level, m.kind,
            one.n_seeds, one.is_training, one.share, one.share_of,
        )
        for one in readings
        for m in [one.multiplier]
    )  # fmt: skip
    return Sheet(name, caption, (*COLUMNS, *([f"share of {kinds}"] if kinds else [])), rows, RAW, raw)


def _difference_text(found: tuple[float, float, float]) -> str:
    """`-0.050 [-0.080, -0.020]`; empty where there is none."""
    return "" if np.isnan(found[0]) else f"{error_text(found[0])} {interval_text(*found[1:], error_text)}"


RAW = (
    "variant", "changed", "arm", "baseline", "n_problems", "error", "baseline_error", "gap", "gap_low", "gap_high",
    "moved", "moved_low", "moved_high", "multiplier", "bound", "ci_low", "ci_high", "level", "kind", "n_seeds",
    "is_training", "share", "share_of",
)  # fmt: skip


NUMBERS = (
    "error", "baseline_error", "gap", "gap_low", "gap_high", "moved", "moved_low", "moved_high", "multiplier", "ci_low",
    "ci_high", "share",
)  # fmt: skip


def read_map(path: str | Path) -> pd.DataFrame:
    """The CSV of `map_sheet`.

    Raises:
        ValueError: not such a file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; `python -m analysis map STUDY VARIANT... --out DIR` writes a map.csv")
    empty = {name: ["", "nan"] for name in NUMBERS}
    check_csv(path)
    found = pd.read_csv(path, keep_default_na=False, na_values=empty)
    if absent := [name for name in RAW if name not in found.columns]:
        raise ValueError(f"{path}: a map.csv of `python -m analysis map` was expected; it has no {', '.join(absent)}")
    return found


def write_map(
    paths: Sequence[str | Path],
    out: str | Path,
    options: Options,
    *,
    sizes: Sequence[float] = (),
    share_of: Sequence[str] = (),
) -> list[Path]:
    """Write map.csv, map.tex and the figures into the folder `out`; the CSV's path first.

    Raises:
        ValueError: as `survey`, a share was asked for and no reading has one, or a map.csv there is none of ours;
            nothing is written then.
    """
    from sweep.table import check_writable

    folder = Path(out)
    check_writable(folder, "--out")
    _refuse_another_csv(folder)
    sheet = map_sheet(survey(paths, options, sizes=sizes, share_of=share_of))
    if share_of:
        _refuse_no_share(pd.DataFrame(sheet.raw, columns=list(RAW)))
    folder.mkdir(parents=True, exist_ok=True)
    written = sheet.write(folder)
    points = read_map(folder / "map.csv")
    written += style.save(map_figure(points), folder / "map")
    if points["gap"].notna().any():
        written += style.save(gap_figure(points), folder / "gaps")
    if share_of:
        written += style.save(worth_by_share(points), folder / "worth_by_share")
    return written


def _refuse_another_csv(folder: Path) -> None:
    there = folder / "map.csv"
    if not there.exists():
        return
    try:
        names = set(pd.read_csv(there, nrows=0).columns)
    except (OSError, ValueError):
        names = set()
    if not names >= {"variant", "changed", "arm", "multiplier", "bound"}:  # of a map of any version
        raise ValueError(
            f"--out {folder}: map.csv there was not written by `map`: it is not replaced; give another folder with "
            "--out"
        )


def _refuse_no_share(points: pd.DataFrame) -> None:
    if readable(points, with_share=True).empty:
        at = ", ".join(map(count, sorted(points["n_problems"].unique())))
        raise ValueError(
            f"share of {points['share_of'].iloc[0]}: no multiplier at n_problems={at} has it beside it, because "
            f"{points['baseline'].iloc[0]} has no diagnosed runs there; name with --size sizes that it was run at, or "
            "leave --share-of out"
        )
