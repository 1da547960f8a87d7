"""Beyond the paper: per-step DPO against its rollouts a prefix, which cost most, and its negatives a positive."""

from __future__ import annotations

from analysis.gallery.by_setting import Setting
from analysis.gallery.entries import Runs
from analysis.gallery.quadrupling import view_of

ROLLOUTS = Runs("rollouts", by="sampling.rollouts.n_rollouts", quick="quick_rollouts")
PAIRS = Runs("pairs", by="method.max_pairs_per_problem", quick="quick_pairs")

OF_ROLLOUTS = view_of(
    Setting(ROLLOUTS, "per-step DPO", "sampling.rollouts.n_rollouts", "rollouts a prefix", is_log=True),
    "Per-step DPO's test error (greedy) against the rollouts by which the q_value of a prefix is estimated",
    "Four times as many rollouts gain less than a point",
)
OF_PAIRS = view_of(
    Setting(PAIRS, "per-step DPO", "method.max_pairs_per_problem", "pairs a problem, at most", is_log=True),
    "Per-step DPO's test error (greedy) against how many wrong solutions of a problem are made a pair, at most, so how "
    "many negatives there are for a positive",
    "Four times as many negatives a problem gain less than a point",
)
