"""Figure 2c: error against the number of self-generated positives a problem, n_problems fixed."""

from __future__ import annotations

from analysis.gallery.by_setting import Setting
from analysis.gallery.entries import Runs
from analysis.gallery.quadrupling import view_of

POSITIVES = Runs("positives", by="source.max_solutions_per_problem", quick="quick_positives")
VIEW = view_of(
    Setting(
        POSITIVES,
        "RFT",
        "source.max_solutions_per_problem",
        "positives a problem, at most",
        is_log=True,
    ),
    "RFT's test error (greedy) against how many distinct correct self-generated solutions a problem it is given at "
    "most",
    "More positives a problem leave the error flat or raise it",
)
