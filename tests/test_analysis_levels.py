"""Tables of errors: what all runs of one seed share is in the interval, and what cannot be judged is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit, logit

from analysis.laws.local import Blend
from analysis.noise.draws import draws
from analysis.noise.levels import with_levels
from analysis.options import Options, comparison_of, table_of
from analysis.tables.table import Table, table_from_runs
from analysis.worth.readings import headline
from analysis.worth.shape import shape_of
from analysis.worth.words import shape_text

SIZES = (100.0, 200.0, 400.0, 800.0, 1600.0)
SFT = np.array([0.60, 0.50, 0.42, 0.35, 0.30])
RFT = np.array([0.50, 0.42, 0.35, 0.30, 0.25])


def rows(levels: dict[str, list[float]], noise: float = 0.0) -> pd.DataFrame:
    """Errors of each arm's seeds, moved by a level in log-odds at every size, with scatter of their own."""
    rng, found = np.random.default_rng(5), []
    for arm, curve in (("SFT", SFT), ("RFT", RFT)):
        for seed, level in enumerate(levels[arm]):
            for size, error in zip(SIZES, curve, strict=True):
                moved = expit(logit(error) + level + noise * rng.standard_normal())
                found.append({"arm": arm, "n_problems": size, "seed": seed, "error": moved})
    return pd.DataFrame(found)


def table(levels: dict[str, list[float]], noise: float = 0.0) -> Table:
    runs = rows(levels, noise).rename(columns={"n_problems": "size"})
    return table_from_runs(runs.assign(x=runs["size"]), "errors", path="made")


def saved(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False)
    return path


def test_a_level_of_seeds_gives_students_t_of_their_difference() -> None:
    made = table({"SFT": [0.2, -0.1, -0.1], "RFT": [-0.2, 0.2, 0.0]}, noise=0.01)
    observed = made.cells["error"].to_numpy(float)
    drawn, (said,) = with_levels(made, np.repeat(observed[None], 40_000, axis=0), np.random.default_rng(0))
    assert said.code == "seed_clusters" and "3 in RFT, 3 in SFT" in said.text
    arms = [made.cells_of(arm)[2] for arm in ("RFT", "SFT")]
    gap = np.diff(logit(drawn[:, arms]), axis=1)[:, 0] - np.diff(logit(observed[arms]))[0]
    by_seed = np.array([0.4, -0.3, -0.1])  # SFT's level less RFT's
    half = stats.t.ppf(0.975, 2) * by_seed.std(ddof=1) / np.sqrt(3)
    assert np.quantile(gap, [0.025, 0.975]) == pytest.approx([-half, half], rel=0.06)


def test_a_level_that_the_arms_share_cancels_in_their_contrast() -> None:
    made = table({"SFT": [0.3, -0.2, -0.1], "RFT": [0.3, -0.2, -0.1]}, noise=0.01)
    observed = made.cells["error"].to_numpy(float)
    drawn, notes = with_levels(made, np.repeat(observed[None], 2_000, axis=0), np.random.default_rng(0))
    assert notes
    moved = logit(drawn) - logit(observed)
    level, gap = moved[:, 0], moved[:, 0] - moved[:, -1]
    assert np.abs(gap).mean() < 0.05 * np.abs(level).mean()


def test_seeds_that_go_up_and_down_by_themselves_have_no_level() -> None:
    made = table({"SFT": [0.0] * 4, "RFT": [0.0] * 4}, noise=0.2)
    observed = made.cells["error"].to_numpy(float)[None]
    drawn, notes = with_levels(made, observed, np.random.default_rng(0))
    assert notes == () and (drawn == observed).all()


def test_a_loss_is_moved_by_a_factor() -> None:
    runs = rows({"SFT": [0.0] * 3, "RFT": [0.0] * 3}).rename(columns={"n_problems": "size"})
    runs["error"] *= 2.0 * np.exp(runs["seed"].map({0: 0.1, 1: -0.1, 2: 0.0}))
    made = table_from_runs(runs.assign(x=runs["size"]), "errors", path="made", is_loss=True)
    observed = made.cells["error"].to_numpy(float)
    drawn, notes = with_levels(made, np.repeat(observed[None], 100, axis=0), np.random.default_rng(0))
    assert notes
    ratio = drawn / observed
    assert np.ptp(ratio, axis=1).max() == pytest.approx(0, abs=1e-2 * ratio.max()) and ratio.std() > 0.01


def test_the_interval_of_errors_is_as_wide_as_seeds_differ(tmp_path: Path) -> None:
    far = rows({"SFT": [0.25, -0.12, -0.13], "RFT": [-0.2, 0.25, -0.05]})
    m = headline(comparison_of(saved(far, tmp_path / "t.csv"), Options()), "RFT", "SFT")
    assert m.ci_low < 1 and m.ci_high > 4
    assert {"seed_clusters", "cell_means_only"} <= {one.code for one in m.notes}


def test_one_run_a_cell_in_one_arm_is_said(tmp_path: Path) -> None:
    frame = rows({"SFT": [0.0] * 3, "RFT": [0.0]}, noise=0.05)
    notes = draws(table_of(saved(frame, tmp_path / "t.csv"), Options()), 100).notes
    assert "one training run a cell in RFT: the interval is conditional" in " ".join(one.text for one in notes)


def test_errors_that_never_change_are_refused(tmp_path: Path) -> None:
    frame = rows({"SFT": [0.0], "RFT": [0.0]}).assign(error=0.4)
    with pytest.raises(ValueError, match=r"t\.csv: every arm errs equally much at all of its sizes.* give counts"):
        draws(table_of(saved(frame, tmp_path / "t.csv"), Options()), 100)


def test_a_ceiling_below_all_curves_is_refused(tmp_path: Path) -> None:
    path = saved(rows({"SFT": [0.0], "RFT": [0.0]}), tmp_path / "t.csv")
    with pytest.raises(
        ValueError, match=r"--ceiling 0\.2: expected the error without any data, and every arm has 0\.5"
    ):
        table_of(path, Options(ceiling=0.2))
    assert table_of(path, Options(ceiling=0.5)).ceiling == 0.5  # one arm above it may be harmed by its data


def test_rows_that_no_seed_tells_apart_are_refused_by_the_missing_column(tmp_path: Path) -> None:
    frame = rows({"SFT": [0.0] * 2, "RFT": [0.0]}).drop(columns="seed")
    with pytest.raises(ValueError, match=r"5 rows .* arm=SFT size=100, and no column 'seed' tells them apart"):
        table_of(saved(frame, tmp_path / "t.csv"), Options())


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (
            "n_problems",
            "1,000",
            r"'1,000' in row 3 below the names of columns; numbers were expected, without signs for thousands",
        ),
        ("n_problems", -5, r"the size is negative in 1 rows, the first -5 of SFT"),
        ("arm", None, r"arm is missing in 1 of 10 rows, the first is row 3"),
    ],
)
def test_a_bad_cell_is_named_by_its_row(name: str, value: object, told: str, tmp_path: Path) -> None:
    frame = rows({"SFT": [0.0], "RFT": [0.0]}).astype({name: object})
    frame.loc[2, name] = value
    with pytest.raises(ValueError, match=told):
        table_of(saved(frame, tmp_path / "t.csv"), Options())


def test_a_slope_at_the_end_of_its_search_is_open(tmp_path: Path) -> None:
    path = saved(rows({"SFT": [0.0] * 3, "RFT": [0.0] * 3}, noise=0.05), tmp_path / "t.csv")
    found = shape_of(comparison_of(path, Options()), "RFT", "SFT")
    assert "exponents differ by" in shape_text(found) and "open" not in shape_text(found)
    assert ", open]" in shape_text(dataclasses.replace(found, delta_b_ci=(-0.5, 19.458)))


class _Read:
    """Curves that reach any error at these sizes, in ln n."""

    def __init__(self, *sizes: float) -> None:
        self.sizes = np.array(sizes)[:, None]

    def ln_size_at(self, errors: np.ndarray) -> np.ndarray:
        return self.sizes


def test_an_error_that_a_law_never_reaches_is_read_between_the_sizes_that_do() -> None:
    inf, at = np.inf, np.array([0.4])

    def first(law: float, free: float) -> float:
        return float(Blend(_Read(law, 1.0, 1.0), _Read(free, 2.0, 2.0)).ln_size_at(at)[0, 0])  # type: ignore[arg-type]

    assert (first(6.0, 8.0), first(6.0, inf), first(inf, 8.0), first(inf, inf)) == (7.0, 6.0, 8.0, inf)
    drawn = Blend(_Read(inf, 1.0, inf), _Read(8.0, 2.0, 2.0)).ln_size_at(at)  # type: ignore[arg-type]
    assert drawn[1:, 0].tolist() == [2.0, inf]  # half of the draws stay the law's
