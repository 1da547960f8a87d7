"""The arrow from the pipeline: a table that a real (tiny) sweep collected is read as it stands."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from test_results import runs_of
from tiny_sweep import Sweep

from analysis.commands import fits
from analysis.options import Options
from analysis.report.write import write_report
from analysis.tables.read import table_at
from analysis.tables.table import Columns
from sweep.results import collect
from sweep.table import write_table


@pytest.fixture(scope="module")
def folder(sweep: Sweep, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collected") / "table"
    write_table(collect(runs_of(sweep), sweep.store), folder, {"commands": ["python -m sweep"], "config": {}})
    return folder


def test_greedy_and_sampled_errors_are_those_of_the_counts(folder: Path) -> None:
    greedy, sampled = table_at(folder), table_at(folder, Columns(y="sampled"))
    for table, correct, n_all in ((greedy, "n_correct", "n_test"), (sampled, "n_correct_sampled", "n_sampled")):
        runs = pd.read_parquet(folder / "runs.parquet")
        expected = {(r.arm, r.n_problems): 1 - getattr(r, correct) / getattr(r, n_all) for r in runs.itertuples()}
        (block,) = table.blocks
        for i, run in enumerate(table.runs.itertuples()):
            assert run.error == pytest.approx(expected[run.arm, int(run.size)])
            assert block.errors[i].mean() == pytest.approx(run.error, abs=1e-6)
    assert greedy.reference_error is not None
    assert "SFT" in greedy.arms and "per-step DPO" in greedy.arms


def test_two_sizes_are_refused_in_one_paragraph(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="SFT has runs at n_problems=8, 16 alone, a curve needs 3 sizes or more"):
        write_report(folder, tmp_path, Options(n_draws=100))
    with pytest.raises(ValueError, match="a power law needs 3 sizes or more"):
        fits(folder, Options(n_draws=100))
