"""Losses above 1, and the loss at zero data given by hand."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.commands import multipliers
from analysis.figures.curves import error_against_n_problems
from analysis.laws.forms import FORMS
from analysis.noise.draws import draws
from analysis.options import Options, comparison_of, table_of
from analysis.report.write import write_report
from analysis.tables.table import Columns, table_from_runs
from analysis.terminal import results_text
from analysis.worth.readings import at_error, headline

LOSS = Columns(arm="data", x="tokens", y="val_loss", y_is="loss")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two data sets whose losses are 3 (n/1e8)^-.1 and the same at three times the tokens."""
    rows = [
        (data, n, 3 * (n * worth / 1e8) ** -0.1 * (1 + 1e-3 * (-1) ** k))
        for data, worth in (("plain", 1), ("filtered", 3)) for k, n in enumerate(1e8 * 2.0 ** np.arange(7))
    ]  # fmt: skip
    pd.DataFrame(rows, columns=["data", "tokens", "val_loss"]).to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def test_losses_above_1_are_read_as_losses(path: Path) -> None:
    m = headline(comparison_of(path, Options(baseline="plain", columns=LOSS, n_draws=400)), "filtered", "plain")
    assert m.ci_low < 3 < m.ci_high and m.multiplier == pytest.approx(3, rel=0.1)


def test_a_loss_is_asked_for_by_name_and_has_no_percent(path: Path) -> None:
    with pytest.raises(ValueError, match=r"does 'val_loss' grow with .* of a loss, --y-is loss"):
        table_of(path, Options(columns=Columns(arm="data", x="tokens", y="val_loss")))
    with pytest.raises(ValueError, match="if these are losses say --y-is loss"):
        table_of(path, Options(columns=Columns(arm="data", x="tokens", y="val_loss", y_is="error")))
    with pytest.raises(ValueError, match=r"is a loss .--y-is loss., which has no percent"):
        table_of(path, Options(columns=Columns(arm="data", x="tokens", y="val_loss", y_is="loss", unit="percent")))


def test_a_multiplier_is_asked_for_at_a_loss_above_1(path: Path) -> None:
    comparison = comparison_of(path, Options(baseline="plain", columns=LOSS, n_draws=400))
    assert at_error(comparison, "filtered", "plain", 2.5).multiplier == pytest.approx(3, rel=0.1)
    with pytest.raises(ValueError, match="loss -1: a loss above 0 was expected, for example 2"):
        at_error(comparison, "filtered", "plain", -1)


def test_losses_are_called_losses_and_drawn_above_1(path: Path, tmp_path: Path) -> None:
    options = Options(baseline="plain", columns=LOSS, n_draws=400)
    head = results_text(multipliers(path, options)).splitlines()[0]
    assert " at loss 2." in head and "(interior: both arms were observed around this loss)" in head
    write_report(path, tmp_path / "report", options)
    page = re.sub("<[^>]+>", "", (tmp_path / "report/index.html").read_text(encoding="utf-8"))
    assert "at the same test loss" in page and "Test loss against tokens" in page and "Losses" in page
    assert re.findall(r"(?:[Tt]est|at|own|the|range of|fitted) error\b", page) == []
    comparison = comparison_of(path, options)
    axes = error_against_n_problems(comparison, "plain", [], ["plain", "filtered"]).axes[0]
    low, high = axes.get_ylim()
    assert low < 1.8 and 3 < high < 3.5 and len([tick for tick in axes.get_yticks() if low <= tick <= high]) >= 3


@pytest.mark.parametrize("bad", [0.0, -2.0])
def test_a_loss_that_is_not_positive_is_refused(bad: float) -> None:
    runs = pd.DataFrame({"arm": "a", "size": [1.0, 2.0], "x": [1.0, 2.0], "seed": 0, "error": [bad, 2.0]})
    with pytest.raises(ValueError, match=f"losses run from {bad:g}; a law is fitted to values above 0"):
        table_from_runs(runs, "errors", path="t", is_loss=True)


def test_the_saturating_law_takes_a_ceiling_given_by_hand(path: Path) -> None:
    plain = Options(baseline="plain", columns=LOSS, n_draws=200, law="saturating")
    with pytest.raises(ValueError, match="needs the error at zero data"):
        headline(comparison_of(path, plain), "filtered", "plain")
    with_ceiling = Options(baseline="plain", columns=LOSS, n_draws=200, law="saturating", ceiling=11.0)
    comparison = comparison_of(path, with_ceiling)
    assert comparison.curves("plain", "saturating").values["ceiling"][0] == 11.0
    assert FORMS["saturating"].n_sizes <= comparison.n_sizes("plain")
    with pytest.raises(ValueError, match="--ceiling -1: a finite loss above 0 was expected"):
        table_of(path, Options(columns=LOSS, ceiling=-1.0))


def test_replicates_of_a_loss_are_drawn_around_it() -> None:
    rng = np.random.default_rng(0)
    rows = [(r, "a", n, n, 0, 3 * n**-0.1 * np.exp(rng.normal(0, 0.01))) for r in range(6) for n in (1.0, 2.0, 4.0)]
    runs = pd.DataFrame(rows, columns=["replicate", "arm", "size", "x", "seed", "error"])
    drawn = draws(table_from_runs(runs, "errors", path="t", is_loss=True), 2000)
    assert drawn.errors.mean(axis=0) == pytest.approx(drawn.observed, rel=0.002)
    assert drawn.errors.std(axis=0) == pytest.approx(np.sqrt(drawn.variance) * np.sqrt(5 / 3), rel=0.15)  # t, 5 df
