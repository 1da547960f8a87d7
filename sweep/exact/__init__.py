"""Theorem 6.1 of arXiv:2406.14532 on problems small enough to enumerate: exact policies, values and optima.

    python -m sweep.exact --out outputs/theorem/table

The theorem: DPO on pairs of steps that share a prefix, where the prefix and both steps are the SFT policy's own and the
preferred one is drawn by the sigmoid of the difference of their advantages, has the optimum of advantage-weighted
regression: pi(y | prefix) proportional to pi_sft(y | prefix) exp(A(prefix, y) / beta).
"""
